"""What events of the memtable come to: the same as the engine reads of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence

from ....domain.event import SYSTEM_PREFIX, Event
from ....domain.meter import BY_ORGANIZATION, Aggregation, Meter, MeterQuery
from ....domain.partial_aggregate import Number, Version
from ....domain.reading import PropertyReader, Reading, reading_of
from ..engine.instants import micros
from ..memtable.memtable import MemtableEntry
from .partial_aggregates import Contribution, Windows


def evaluate(query: MeterQuery, entries: Iterable[MemtableEntry]) -> list[Contribution]:
    """What some events are to the meters of single events, as `MeasureQuery` has it."""
    windows = Windows(query)
    asked: dict[str, list[tuple[int, Meter]]] = defaultdict(list)
    for number, meter in enumerate(query.meters):
        asked[meter.event_type].append((number, meter))
    found: list[Contribution] = []
    for commit, position, event in entries:
        if event.type not in asked:
            continue
        moment = micros(event.time)
        if (window := windows.at(moment)) is None:
            continue
        properties = PropertyReader(event)
        if not _kept(query, event, properties):
            continue
        group = tuple(_group(event, properties, query.group_by))
        for number, meter in asked[event.type]:
            reading = reading_of(meter, properties)
            if not reading.reason:
                found.append((number, window, group, 1, _numbers(meter, reading, (moment, commit, position))))
    return found


def _group(event: Event, properties: PropertyReader, by: Iterable[str]) -> Iterator[str]:
    for path in by:
        yield event.organization if path == BY_ORGANIZATION else properties.text(path)


def _kept(query: MeterQuery, event: Event, properties: PropertyReader) -> bool:
    """Whether filters and groups keep the event."""
    for path, texts in query.filters:
        if next(_group(event, properties, (path,))) not in texts:
            return False
    sets = ((query.only, True), (query.without, False))
    return all(
        (tuple(_group(event, properties, each.by)) in each.groups) is inside
        for each, inside in sets
        if each is not None
    )


def _numbers(meter: Meter, reading: Reading, version: Version) -> Sequence[Number]:
    return [(version, reading.numbers[0])] if meter.aggregation is Aggregation.LATEST else reading.numbers


def first_of(entries: Iterable[MemtableEntry]) -> int | None:
    """The time of the earliest event that is not Meterhouse's own."""
    times = (micros(event.time) for _, _, event in entries if not event.type.startswith(SYSTEM_PREFIX))
    return min(times, default=None)

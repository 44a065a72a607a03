"""What events of the memtable come to: the same as the engine reads of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence

from ....domain.event import SYSTEM_PREFIX
from ....domain.meter import Aggregation, Meter, MeterQuery
from ....domain.reading import PropertyReader, Reading, reading_of
from ..engine.instants import micros
from ..memtable.memtable import MemtableEntry
from .partial_aggregates import Contribution, Number, Version, Windows


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
        if any(properties.text(path) != text for path, text in query.filters):
            continue
        group = tuple(properties.text(path) for path in query.group_by)
        for number, meter in asked[event.type]:
            reading = reading_of(meter, properties)
            if not reading.reason:
                found.append((number, window, group, 1, _numbers(meter, reading, (moment, commit, position))))
    return found


def _numbers(meter: Meter, reading: Reading, version: Version) -> Sequence[Number]:
    return [(version, reading.numbers[0])] if meter.aggregation is Aggregation.LATEST else reading.numbers


def first_of(entries: Iterable[MemtableEntry]) -> int | None:
    """The time of the earliest event that is not Meterhouse's own."""
    times = (micros(event.time) for _, _, event in entries if not event.type.startswith(SYSTEM_PREFIX))
    return min(times, default=None)

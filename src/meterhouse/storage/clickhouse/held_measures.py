"""What events held in memory add up to: the same as the engine reads of them."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from ...domain.event import OWN, Event, Property, decode_data, read_text
from ...domain.meter import Aggregation, Meter, MeterQuery
from .held_events import Held
from .partials import Number, Place, Reading, Windows
from .queries import micros


class Unclear(Exception):
    """The engine might read a text otherwise than it is read here."""


class Texts:
    """The texts that an event's data has, read as the engine reads them. Raises `Unclear`."""

    def __init__(self, event: Event):
        self._data = decode_data(event.data)
        if _repeats_names(event.data, self._data):
            raise Unclear  # of several the engine takes the first, Python the last

    def at(self, path: str) -> str:
        """The text of a property."""
        if "." in path and type(_at(self._data, path)) in (int, Decimal):
            raise Unclear  # numbers below the top level are doubles to the engine
        return read_text(self._data, path)


def _at(data: Property, path: str) -> Property:
    for name in path.split("."):
        data = data.get(name) if isinstance(data, dict) else None
    return data


def _repeats_names(data: bytes, values: Property) -> bool:
    members = len(values) if isinstance(values, dict) else 0
    if data.count(b":") == members:
        return False
    repeated = False

    def note(pairs: list[tuple[str, object]]) -> None:
        nonlocal repeated
        repeated = repeated or len({name for name, _ in pairs}) < len(pairs)

    json.loads(data, object_pairs_hook=note, parse_int=str, parse_float=str)
    return repeated


def readings(query: MeterQuery, held: Iterable[Held]) -> list[Reading]:
    """What some events are to the meters of single events, as `queries.MeasureQuery` has it. Raises `Unclear`."""
    windows = Windows(query)
    asked: dict[str, list[tuple[int, Meter]]] = defaultdict(list)
    for number, meter in enumerate(query.meters):
        asked[meter.event_type].append((number, meter))
    found: list[Reading] = []
    for commit, position, event in held:
        if event.type not in asked:
            continue
        moment = micros(event.time)
        if (window := windows.at(moment)) is None:
            continue
        group: tuple[str, ...] = ()
        if query.filters or query.group_by:
            texts = Texts(event)
            if any(texts.at(path) != text for path, text in query.filters):
                continue
            group = tuple(texts.at(path) for path in query.group_by)
        for number, meter in asked[event.type]:
            if meter.optional or all(name in event.numbers for name in meter.values):
                found.append((number, window, group, 1, _numbers(meter, event, (moment, commit, position))))
    return found


def _numbers(meter: Meter, event: Event, place: Place) -> Sequence[Number]:
    if meter.aggregation is Aggregation.COUNT:
        return _ONE
    numbers = [Decimal(event.numbers.get(name, 0)) for name in meter.values]
    return [(place, numbers[0])] if meter.aggregation is Aggregation.LATEST else numbers


_ONE = (Decimal(1),)


def first_of(held: Iterable[Held]) -> int | None:
    """The time of the earliest event that is not Meterhouse's own."""
    return min((micros(event.time) for _, _, event in held if not event.type.startswith(OWN)), default=None)

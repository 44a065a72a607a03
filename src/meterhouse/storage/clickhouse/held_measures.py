"""What events held in memory add up to: the same as the engine reads of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from decimal import Decimal

from ...domain.event import OWN, Event
from ...domain.json_reading import decode_data, read_text
from ...domain.meter import Aggregation, Meter, MeterQuery
from .held_events import Held
from .partials import Number, Place, Reading, Windows
from .queries import micros


class Texts:
    """The texts that an event's data has."""

    def __init__(self, event: Event):
        self._data = decode_data(event.data)

    def at(self, path: str) -> str:
        """The text of a property."""
        return read_text(self._data, path)


def readings(query: MeterQuery, held: Iterable[Held]) -> list[Reading]:
    """What some events are to the meters of single events, as `queries.MeasureQuery` has it."""
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

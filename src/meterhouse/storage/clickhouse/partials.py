"""Putting together what parts of the events add up to."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeAlias

from ...domain.meter import Aggregation, Measure, Meter, MeterQuery
from ...domain.quantity import add, divide
from .queries import instant, micros, moment_of
from .series import Segment, slot_at

Place: TypeAlias = tuple[int, int, int]
"""A time in microseconds, a commit and a position in it: the greatest is the latest."""
Number: TypeAlias = "Decimal | tuple[Place, Decimal]"
"""Of a LATEST with its place."""
Reading: TypeAlias = "tuple[int, int, tuple[str, ...], int, Sequence[Number]]"
"""Meter, window, group, how many events, and their numbers."""
Cell: TypeAlias = tuple[int, tuple[str, ...], int]
"""Meter, group and window."""
Sum: TypeAlias = "tuple[int, Number]"
"""How many events something has, and what they come to."""


class Partials:
    """Collects what several statements, and events in memory, come to in the same windows and groups."""

    def __init__(self, meters: Sequence[Meter], sums: Mapping[Cell, Sum] | None = None):
        """`sums` are what an earlier one came to."""
        self._meters = meters
        self._sums = sums or {}
        self._events: Counter[Cell] = Counter()
        self._numbers: dict[Cell, list[Number]] = defaultdict(list)

    def add(self, meter: int, window: int, group: tuple[str, ...], events: int, terms: Sequence[str]) -> None:
        """Terms as `queries.MeasureQuery` has them; nothing when they are of no events."""
        if not events:
            return
        if self._meters[meter].aggregation is Aggregation.LATEST:
            time, commit, position, value = terms
            numbers: list[Number] = [((int(time), int(commit), int(position)), Decimal(value))]
        else:
            numbers = [Decimal(term) for term in terms]
        self.add_readings([(meter, window, group, events, numbers)])

    def add_readings(self, readings: Iterable[Reading]) -> None:
        """The same as numbers."""
        for meter, window, group, events, numbers in readings:
            cell = meter, group, window
            self._events[cell] += events
            self._numbers[cell] += numbers

    def sums(self) -> Mapping[Cell, Sum]:
        """What it all comes to, to be gone on with."""
        if self._events:
            sums = dict(self._sums)
            for cell, added in self._events.items():
                events, *before = sums.get(cell, (0,))
                sums[cell] = (
                    events + added,
                    _together(self._meters[cell[0]].aggregation, [*before, *self._numbers[cell]]),
                )
            self._sums = sums
            self._events.clear()
            self._numbers.clear()
        return self._sums

    def measures(self) -> list[Measure]:
        """What it all comes to."""
        return [
            Measure(window, _value(self._meters[meter].aggregation, *summed), group, meter=meter)
            for (meter, group, window), summed in self.sums().items()
        ]


def _together(aggregation: Aggregation, numbers: Any) -> Number:
    if aggregation is Aggregation.MIN:
        return min(numbers)  # type: ignore[no-any-return]
    if aggregation in (Aggregation.MAX, Aggregation.LATEST):
        return max(numbers)  # type: ignore[no-any-return]
    return add(numbers)


def _value(aggregation: Aggregation, events: int, number: Number) -> Decimal:
    if isinstance(number, tuple):
        return number[1]
    return divide(number, events) if aggregation is Aggregation.AVG else number


Said = list[Any]
"""What `queries.said` made: of several the greatest is the latest."""
Entity = tuple[Said, int, Said]
"""What an entity said last, with its state; when it was created; what it said last of the group."""


class EntityCounts:
    """How many entities of a STATE_COUNT there are by window, group and state: as they are counted in whole slots, and
    moved from there by what the slots lack."""

    def __init__(self, query: MeterQuery, windows: Mapping[int, int], segments: Sequence[Segment]):
        self._query, self._segments = query, segments
        self._edges = [*windows]
        self._windows = windows
        self._by_creation, self._now = moment_of(query)[0] == "created", moment_of(query)[1]
        self._counts: Counter[tuple[int, tuple[str, ...], str]] = Counter()

    def add(self, edge: int, group: tuple[str, ...], state: str, entities: int) -> None:
        """Entities as they are counted."""
        self._counts[self._windows[edge], group, state] += entities

    def move(self, fresh: Entity, folded: Entity | None) -> None:
        """One entity: it is taken off where it is counted, if it is, and put where it belongs."""
        now = fresh
        if folded is not None:
            now = max(fresh[0], folded[0]), min(fresh[1], folded[1]), max(fresh[2], folded[2])
            if any(each.start <= slot_at(instant(self._moment(folded))) < each.end for each in self._segments):
                self._put(folded, -1)
        first, last = self._query.edges[0], self._query.edges[-1]
        moment = self._moment(now)
        if self._now or ((first is None or moment >= micros(first)) and (last is None or moment < micros(last))):
            self._put(now, 1)

    def _moment(self, entity: Entity) -> int:
        return entity[1] if self._by_creation else int(entity[0][0])

    def _put(self, entity: Entity, entities: int) -> None:
        latest, _, said = entity
        place = 0 if len(self._edges) == 1 else bisect_right(self._edges, self._moment(entity)) - 1
        self.add(self._edges[place], (said[3],) if self._query.group_by else (), latest[3], entities)

    def measures(self) -> list[Measure]:
        """What it all comes to."""
        return [
            Measure(window, Decimal(count), group, state)
            for (window, group, state), count in self._counts.items()
            if count
        ]

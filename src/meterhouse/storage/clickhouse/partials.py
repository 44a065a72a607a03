"""Putting together what parts of the events add up to."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from ...domain.meter import Aggregation, Measure, Meter, MeterQuery
from ...domain.quantity import add, divide
from .queries import instant, micros, moment_of
from .series import Segment, slot_at


@dataclass(slots=True)
class _Cell:
    """One window and group of a meter: how many events it has, and a list of terms from each part that had any."""

    events: int = 0
    terms: list[Sequence[str]] = field(default_factory=list)


class Partials:
    """Collects the terms that several statements give for the same windows and groups."""

    def __init__(self, meters: Sequence[Meter]):
        self._meters = meters
        self._cells: dict[tuple[int, int, tuple[str, ...]], _Cell] = defaultdict(_Cell)

    def add(self, meter: int, window: int, group: tuple[str, ...], events: int, terms: Sequence[str]) -> None:
        """Terms as `queries.MeasureQuery` has them; nothing when they are of no events."""
        if events:
            cell = self._cells[meter, window, group]
            cell.events += events
            cell.terms.append(terms)

    def measures(self) -> list[Measure]:
        """What it all comes to."""
        return [
            Measure(window, _value(self._meters[meter].aggregation, cell), group, meter=meter)
            for (meter, window, group), cell in self._cells.items()
        ]


def _value(aggregation: Aggregation, cell: _Cell) -> Decimal:
    if aggregation is Aggregation.LATEST:
        *_, value = max(cell.terms, key=lambda terms: tuple(map(int, terms[:3])))
        return Decimal(value)
    numbers = [Decimal(term) for terms in cell.terms for term in terms]
    if aggregation is Aggregation.MIN:
        return min(numbers)
    if aggregation is Aggregation.MAX:
        return max(numbers)
    total = add(numbers)
    return divide(total, cell.events) if aggregation is Aggregation.AVG else total


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

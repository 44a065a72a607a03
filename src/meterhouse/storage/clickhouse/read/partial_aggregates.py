"""Partial aggregates: results of parts of the events, merged into one."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, TypeAlias

from ....domain.meter import Aggregation, Measure, Meter, MeterQuery, Ranking, Top
from ....domain.partial_aggregate import Number, Partial, PartialKey, merge_numbers, value_of
from ....domain.period import FIRST_INSTANT
from ....domain.quantity import ZERO
from ....domain.slot import slot_at
from ..engine.instants import instant, micros
from ..rollups.definition import SlotRange
from .measure_queries import moment_of

_LOOKED_UP_AT_ONCE = 5_000
"""The most entities or values of one look-up: the time of a statement grows faster than their number."""


class Windows:
    """The windows of a query, found by instant."""

    def __init__(self, query: MeterQuery):
        self._begins = [micros(edge or FIRST_INSTANT) for edge in query.edges[:-1]]
        last = query.edges[-1]
        self._end = None if last is None else micros(last)

    def at(self, moment: int) -> int | None:
        """The window that holds an instant, in microseconds."""
        if self._end is not None and moment >= self._end:
            return None
        window = bisect_right(self._begins, moment) - 1
        return window if window >= 0 else None


Contribution: TypeAlias = "tuple[int, int, tuple[str, ...], int, Sequence[Number]]"
"""Meter, window, group, how many events, and their numbers."""


class PartialAggregates:
    """Merges the results of several statements and of the memtable, by meter, group and window."""

    def __init__(self, meters: Sequence[Meter], sums: Mapping[PartialKey, Partial] | None = None):
        """Begins with the sums of earlier aggregates."""
        self._meters = meters
        self._sums = sums or {}
        self._events: Counter[PartialKey] = Counter()
        self._numbers: dict[PartialKey, list[Number]] = defaultdict(list)

    def add(self, meter: int, window: int, group: tuple[str, ...], events: int, terms: Sequence[str]) -> None:
        """Adds one row's terms, as `MeasureQuery` selects them; ignores rows without events."""
        if not events:
            return
        if self._meters[meter].aggregation is Aggregation.LATEST:
            time, commit, position, value = terms
            numbers: list[Number] = [((int(time), int(commit), int(position)), Decimal(value))]
        else:
            numbers = [Decimal(term) for term in terms]
        self.add_contributions([(meter, window, group, events, numbers)])

    def add_contributions(self, contributions: Iterable[Contribution]) -> None:
        """Adds single events or rows whose numbers are read already."""
        for meter, window, group, events, numbers in contributions:
            key = meter, group, window
            self._events[key] += events
            self._numbers[key] += numbers

    def sums(self) -> Mapping[PartialKey, Partial]:
        """The merged state, for the result cache."""
        if self._events:
            sums = dict(self._sums)
            for key, added in self._events.items():
                events, *before = sums.get(key, (0,))
                numbers = [*before, *self._numbers[key]]
                sums[key] = Partial(events + added, merge_numbers(self._meters[key[0]].aggregation, numbers))
            self._sums = sums
            self._events.clear()
            self._numbers.clear()
        return self._sums

    def measures(self) -> list[Measure]:
        """The merged results as measures."""
        return [
            Measure(window, value_of(self._meters[meter].aggregation, summed), group, meter=meter)
            for (meter, group, window), summed in self.sums().items()
        ]


VersionedText = list[Any]
"""A text with its version, as `statement.versioned` selects it: the greatest is the latest."""
Entity = tuple[VersionedText, int, VersionedText]
"""The latest state of an entity; when it was created; the latest text of its group."""


State: TypeAlias = "tuple[int, tuple[str, ...], str]"
"""Window, group and state."""


def merged(one: Entity, other: Entity) -> Entity:
    """Merges two descriptions of one entity."""
    return max(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2])


class StateCounts:
    """Counts the entities of a STATE_COUNT by window, group and state. It begins with the counts of whole slots, and
    moves entities that later events changed."""

    def __init__(
        self,
        query: MeterQuery,
        slot_ranges: Sequence[SlotRange] | None = None,
        counts: Mapping[State, int] | None = None,
    ):
        """With `slot_ranges`, `counts` has the entities of these slots only; without them it has all."""
        self._query, self._slot_ranges = query, slot_ranges
        self._windows = Windows(query)
        self._by_creation, self._now = moment_of(query)[0] == "created", moment_of(query)[1]
        self.counts: Counter[State] = Counter(counts)

    def add(self, window: int, group: tuple[str, ...], state: str, entities: int) -> None:
        """Adds a count."""
        self.counts[window, group, state] += entities

    def move(self, fresh: Entity, before: Entity | None) -> Entity:
        """Moves an entity from where it is counted, if it is, to where it belongs. Answers its merged description."""
        now = fresh
        if before is not None:
            now = merged(fresh, before)
            if self._slot_ranges is None or self._in(self._slot_ranges, before):
                self._put(before, -1)
        self._put(now, 1)
        return now

    def _in(self, slot_ranges: Sequence[SlotRange], entity: Entity) -> bool:
        return any(each.start <= slot_at(instant(self._moment(entity))) < each.end for each in slot_ranges)

    def _moment(self, entity: Entity) -> int:
        return entity[1] if self._by_creation else int(entity[0][0])

    def _put(self, entity: Entity, entities: int) -> None:
        latest, _, versioned = entity
        window = 0 if self._now else self._windows.at(self._moment(entity))
        if window is not None:
            self.add(window, (versioned[3],) if self._query.group_by else (), latest[3], entities)


def counted(counts: Mapping[State, int]) -> list[Measure]:
    """The counts as measures."""
    return [Measure(window, Decimal(count), group, state) for (window, group, state), count in counts.items() if count]


def ranked(measures: Iterable[Measure], meters: int, count: int) -> list[Top]:
    """The largest groups, ordered as `ports.MeterReader.top` says, from all measures of the meters."""
    found: defaultdict[str, list[Decimal]] = defaultdict(lambda: [ZERO] * meters)
    for measure in measures:
        found[measure.group[0]][measure.meter] = measure.value
    groups = sorted(found, key=lambda group: ([value.copy_negate() for value in found[group]], group))
    return [(group, tuple(found[group])) for group in groups[:count]]


def ranking_of(rows: Sequence[Sequence[Any]], groups: int) -> Ranking:
    """The ranking in a statement's rows: the texts of a group come first, then its total, and the number of all groups
    is last."""
    totals = tuple(Decimal(row[groups]) for row in rows)
    return Ranking(tuple(tuple(row[:groups]) for row in rows), rows[0][-1] if rows else 0, totals)


def entities_of(rows: Iterable[list[Any]]) -> dict[str, Entity]:
    """The entities in a statement's rows, by name."""
    return {name: (latest, created, versioned) for name, latest, created, versioned in rows}


def few_of(texts: Iterable[str]) -> Iterator[list[str]]:
    """Splits texts into lists that are small enough for one look-up."""
    left = iter(texts)
    while few := list(islice(left, _LOOKED_UP_AT_ONCE)):
        yield few

"""Putting together what parts of the events add up to."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from itertools import islice
from typing import Any, TypeAlias

from ...domain.errors import TooManyGroups
from ...domain.meter import Aggregation, Measure, Meter, MeterQuery, Top
from ...domain.period import FIRST_INSTANT
from ...domain.quantity import ZERO, add, divide
from .queries import instant, micros, moment_of
from .series import Segment, slot_at

_LOOKED_UP_AT_ONCE = 5_000
"""How many entities or values are looked up in one statement: what one takes grows faster than they do."""


class Windows:
    """The windows of a question, as its statements have them."""

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


State: TypeAlias = "tuple[int, tuple[str, ...], str]"
"""Window, group and state."""


def merged(one: Entity, other: Entity) -> Entity:
    """What is said of an entity in two places."""
    return max(one[0], other[0]), min(one[1], other[1]), max(one[2], other[2])


class EntityCounts:
    """How many entities of a STATE_COUNT there are by window, group and state: as they are counted in whole slots, and
    moved from there by what the slots lack."""

    def __init__(
        self,
        query: MeterQuery,
        segments: Sequence[Segment] | None = None,
        counts: Mapping[State, int] | None = None,
    ):
        """With `segments` only those in whole slots are counted yet, without them all are."""
        self._query, self._segments = query, segments
        self._windows = Windows(query)
        self._by_creation, self._now = moment_of(query)[0] == "created", moment_of(query)[1]
        self.counts: Counter[State] = Counter(counts)

    def add(self, window: int, group: tuple[str, ...], state: str, entities: int) -> None:
        """Entities as they are counted."""
        self.counts[window, group, state] += entities

    def move(self, fresh: Entity, before: Entity | None) -> Entity:
        """One entity: it is taken off where it is counted, if it is, and put where it belongs. Answers what it is."""
        now = fresh
        if before is not None:
            now = merged(fresh, before)
            if self._segments is None or self._in(self._segments, before):
                self._put(before, -1)
        self._put(now, 1)
        return now

    def _in(self, segments: Sequence[Segment], entity: Entity) -> bool:
        return any(each.start <= slot_at(instant(self._moment(entity))) < each.end for each in segments)

    def _moment(self, entity: Entity) -> int:
        return entity[1] if self._by_creation else int(entity[0][0])

    def _put(self, entity: Entity, entities: int) -> None:
        latest, _, said = entity
        window = 0 if self._now else self._windows.at(self._moment(entity))
        if window is not None:
            self.add(window, (said[3],) if self._query.group_by else (), latest[3], entities)

    def measures(self) -> list[Measure]:
        """What it all comes to."""
        return counted(self.counts)


def counted(counts: Mapping[State, int]) -> list[Measure]:
    """Entities by window, group and state."""
    return [Measure(window, Decimal(count), group, state) for (window, group, state), count in counts.items() if count]


def check_groups(groups: Iterable[object], most: int | None) -> None:
    """Raises `TooManyGroups` when there are more different ones than that; None takes any number."""
    if most is not None and len(set(groups)) > most:
        raise TooManyGroups(f"there are more than {most:,} groups; ask for a shorter time, or for fewer")


def ranked(measures: Iterable[Measure], meters: int, count: int) -> list[Top]:
    """The groups that have most, as `ports.EventStore.top` says, from all measures of their meters."""
    found: defaultdict[str, list[Decimal]] = defaultdict(lambda: [ZERO] * meters)
    for measure in measures:
        found[measure.group[0]][measure.meter] = measure.value
    groups = sorted(found, key=lambda group: ([value.copy_negate() for value in found[group]], group))
    return [(group, tuple(found[group])) for group in groups[:count]]


def entities_of(rows: Iterable[list[Any]]) -> dict[str, Entity]:
    """Entities by their names, in rows as statements about them have them."""
    return {name: (latest, created, said) for name, latest, created, said in rows}


def few_of(texts: Iterable[str]) -> Iterator[list[str]]:
    """As many as are looked up at once."""
    left = iter(texts)
    while few := list(islice(left, _LOOKED_UP_AT_ONCE)):
        yield few

"""What is rolled up: each meter of the catalogs, as a whole and by each of its groups, as series of its own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import cached_property
from itertools import pairwise

import msgspec
import xxhash

from ...domain.meter import Aggregation, Meter, MeterQuery
from ...domain.period import FIRST_INSTANT

SLOT = timedelta(minutes=15)
"""Divides the offset of every zone from UTC that is in use, so that local days, weeks and months are made of slots."""
SLOTS_PER_DAY = 96
OPEN_END = 12 * 10**6 * SLOTS_PER_DAY
"""A slot after all that there can be events in."""


class Kind(StrEnum):
    """How a series is kept."""

    COUNT = "COUNT"
    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    LATEST = "LATEST"
    UNIQUE = "UNIQUE"
    STATE = "STATE"
    """The entities of a STATE_COUNT."""
    CREATED = "CREATED"
    """How many of them are in which state, by their creation."""
    CHANGED = "CHANGED"
    """The same by their latest change."""
    FIRST = "FIRST"
    """The time of an organization's first event of any type."""


@dataclass(frozen=True)
class Series:
    """One thing that is rolled up. A definition, not a name: a meter that is defined anew is another series."""

    namespace: str
    kind: Kind
    event_type: str = ""
    value: str = ""
    """The property read: the number of SUM, MIN, MAX and LATEST, the text of UNIQUE."""
    needed: tuple[str, ...] = ()
    """The numbers that an event must have to be measured."""
    entity: str = ""
    state: str = ""
    group: str = ""
    """The property that it is broken down by; "" for the whole."""

    @cached_property
    def id(self) -> int:
        """The same for the same definition, in every process."""
        return xxhash.xxh3_64_intdigest(msgspec.json.encode(astuple(self)))

    def counting(self, kind: Kind, group: str) -> Series:
        """The series that counts the entities of this one; it is folded with it."""
        return replace(self, kind=kind, group=group)


_OF_NUMBERS = {
    Aggregation.SUM: Kind.SUM,
    Aggregation.AVG: Kind.SUM,
    Aggregation.MIN: Kind.MIN,
    Aggregation.MAX: Kind.MAX,
    Aggregation.LATEST: Kind.LATEST,
}


def series_of(namespace: str, meter: Meter, group: str = "") -> tuple[Series, ...]:
    """What a meter by that group is made of: one series, or for a SUM of several values one for each. None of it
    when the meter is not rolled up that way."""
    if group and group not in meter.group_by:
        return ()
    event_type = meter.event_type
    if meter.aggregation is Aggregation.COUNT:
        return (Series(namespace, Kind.COUNT, event_type, group=group),)
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        return () if group else (Series(namespace, Kind.UNIQUE, event_type, meter.values[0]),)
    if meter.aggregation is Aggregation.STATE_COUNT:
        # What an entity said of a group is kept beside its state: one series tells both.
        group = group or next(iter(meter.group_by), "")
        return (Series(namespace, Kind.STATE, event_type, entity=meter.entity, state=meter.state, group=group),)
    kind, needed = _OF_NUMBERS[meter.aggregation], () if meter.optional else meter.values
    return tuple(Series(namespace, kind, event_type, value, needed, group=group) for value in meter.values)


def all_series(meters: Mapping[str, Iterable[Meter]]) -> tuple[Series, ...]:
    """Everything that is rolled up for the meters of some namespaces."""
    found: dict[Series, None] = {}
    for namespace, each in meters.items():
        found[Series(namespace, Kind.FIRST)] = None
        for meter in each:
            for group in ("", *meter.group_by):
                found |= dict.fromkeys(series_of(namespace, meter, group))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Segment:
    """Adjoining slots, half-open, that are read in steps of `width`: 1, or whole days of 96."""

    width: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Cut:
    """The windows of a question, cut into what rollups hold and what only the events can tell."""

    segments: tuple[Segment, ...]
    """Whole slots and, where there are any, whole days (UTC) of a window."""
    pieces: tuple[tuple[datetime, datetime], ...]
    """Slots that a window begins or ends in the middle of, and those that rollups do not tell the truth about, as far
    as they are asked about; those that adjoin are one."""


def slot_at(instant: datetime) -> int:
    """The slot that holds the instant; 0 begins with the first instant that an event may have."""
    return (instant - FIRST_INSTANT) // SLOT


def slot_begin(slot: int) -> datetime:
    """The instant that a slot begins at."""
    return FIRST_INSTANT + slot * SLOT


def cut(edges: Sequence[datetime | None], masked: Sequence[int] = ()) -> Cut:
    """Cuts the windows between ascending instants; a first or last edge of None is open. `masked`, ascending, are slots
    that are not to be read from rollups."""
    segments: list[Segment] = []
    for start, end in pairwise(edges):
        first = 0 if start is None else -((FIRST_INSTANT - start) // SLOT)
        last = OPEN_END if end is None else slot_at(end)
        for part in _whole(first, last, masked):
            if segments and segments[-1].width == part.width and segments[-1].end == part.start:
                part = Segment(part.width, segments.pop().start, part.end)  # noqa: PLW2901 - the two are one
            segments.append(part)
    opening, ending = edges[0], edges[-1]
    divided = {slot_at(edge) for edge in edges if edge is not None and (edge - FIRST_INSTANT) % SLOT}
    pieces: list[tuple[datetime, datetime]] = []
    for slot in sorted({*divided, *masked}):
        begin, finish = slot_begin(slot), slot_begin(slot + 1)
        begin = begin if opening is None else max(begin, opening)
        finish = finish if ending is None else min(finish, ending)
        if begin >= finish:
            continue
        if pieces and pieces[-1][1] == begin:
            begin = pieces.pop()[0]
        pieces.append((begin, finish))
    return Cut(tuple(segments), tuple(pieces))


def _whole(first: int, last: int, masked: Sequence[int]) -> Iterator[Segment]:
    """The slots from one to another, except those that are masked; whole days as days."""
    gaps = [slot for slot in masked if first <= slot < last]
    for begin, end in zip([first, *(gap + 1 for gap in gaps)], [*gaps, last], strict=True):
        day, last_day = -(-begin // SLOTS_PER_DAY) * SLOTS_PER_DAY, end // SLOTS_PER_DAY * SLOTS_PER_DAY
        if day < last_day:
            parts = [Segment(1, begin, day), Segment(SLOTS_PER_DAY, day, last_day), Segment(1, last_day, end)]
        else:
            parts = [Segment(1, begin, end)]
        yield from (part for part in parts if part.start < part.end)


def rolled_up(query: MeterQuery, number: int) -> tuple[Series, ...]:
    """The series that hold a meter as it is asked for; none when it is grouped by what its catalog does not name, or
    by more than one thing, or both grouped and filtered."""
    paths = [*query.group_by, *(path for path, _ in query.filters)]
    meter = query.meters[number]
    if len(paths) > 1 or (query.filters and meter.aggregation is Aggregation.STATE_COUNT):
        return ()
    return series_of(query.namespace, meter, paths[0] if paths else "")

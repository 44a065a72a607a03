"""Rollup definitions: each meter of the catalogs has rollups of its own, as a whole and by each of its groups."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import datetime
from enum import StrEnum
from functools import cached_property
from itertools import chain, pairwise

import msgspec
import xxhash

from ....domain.meter import BY_ORGANIZATION, Aggregation, Meter, MeterQuery
from ....domain.period import FIRST_INSTANT
from ....domain.slot import SLOT, SLOTS_PER_DAY, slot_at, slot_begin
from ..engine.statement import SlotOf

OPEN_END = 12 * 10**6 * SLOTS_PER_DAY
"""A slot after every event that there can be."""


class Kind(StrEnum):
    """What a rollup aggregates."""

    COUNT = "COUNT"
    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    LATEST = "LATEST"
    UNIQUE = "UNIQUE"
    STATE = "STATE"
    """The entities of a STATE_COUNT."""
    CREATED = "CREATED"
    """How many entities are in each state, by the time of their creation."""
    CHANGED = "CHANGED"
    """The same by the time of their latest change."""
    FIRST = "FIRST"
    """The time of an organization's first event of any type."""


@dataclass(frozen=True)
class RollupDefinition:
    """What one rollup aggregates. It is a definition, not a name: a meter that is defined anew has another rollup."""

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
    where: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """The properties of which an event must have one of these texts."""

    @cached_property
    def id(self) -> int:
        """The hash of the definition, the same in every process."""
        *fields, where = astuple(self)
        return xxhash.xxh3_64_intdigest(msgspec.json.encode([*fields, *([where] if where else [])]))

    def counting(self, kind: Kind, group: str) -> RollupDefinition:
        """The definition that counts the entities of this one; both are materialized together."""
        return replace(self, kind=kind, group=group)


_OF_NUMBERS = {
    Aggregation.SUM: Kind.SUM,
    Aggregation.AVG: Kind.SUM,
    Aggregation.MIN: Kind.MIN,
    Aggregation.MAX: Kind.MAX,
    Aggregation.LATEST: Kind.LATEST,
}


def definitions_of(namespace: str, meter: Meter, group: str = "") -> tuple[RollupDefinition, ...]:
    """The definitions that a meter by that group needs: one, or for a SUM of several values one for each. None when the
    meter has no rollup by that group."""
    if group and group not in meter.group_paths:
        return ()
    event_type = meter.event_type
    if meter.aggregation is Aggregation.COUNT:
        return (RollupDefinition(namespace, Kind.COUNT, event_type, group=group, where=meter.where),)
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        unique = RollupDefinition(namespace, Kind.UNIQUE, event_type, meter.texts[0], where=meter.where)
        return () if group else (unique,)
    if meter.aggregation is Aggregation.STATE_COUNT:
        # What an entity said of a group is kept beside its state: one series tells both. The value tells apart the
        # counts of meters that have the same entities and another group: each is materialized on its own.
        group = group or next(iter(meter.group_paths), "")
        of = RollupDefinition(namespace, Kind.STATE, event_type, f"by {group}", entity=meter.entity, state=meter.state)
        return (replace(of, group=group),)
    kind, needed = _OF_NUMBERS[meter.aggregation], meter.required_numbers
    return tuple(
        RollupDefinition(namespace, kind, event_type, value, needed, group=group, where=meter.where)
        for value in meter.numbers
    )


def all_definitions(meters: Mapping[str, Iterable[Meter]]) -> tuple[RollupDefinition, ...]:
    """All definitions for the meters of some namespaces."""
    found: dict[RollupDefinition, None] = {}
    for namespace, each in meters.items():
        found[RollupDefinition(namespace, Kind.FIRST)] = None
        for meter in chain.from_iterable(meter.meanings for meter in each):
            for group in ("", *meter.group_paths):
                found |= dict.fromkeys(definitions_of(namespace, meter, group))
    return tuple(found)


@dataclass(frozen=True, slots=True)
class SlotRange:
    """Adjoining slots, half-open, read in steps of `width`: 1, or 96 for whole days."""

    width: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ReadPlan:
    """How a query is read: slot ranges from rollups, raw ranges from the events."""

    slot_ranges: tuple[SlotRange, ...]
    """Whole slots and, where there are any, whole days (UTC) of a window."""
    raw_ranges: tuple[tuple[datetime, datetime], ...]
    """Parts of slots that a window begins or ends in, and dirty slots; adjoining ones are one range."""
    slots_apart: tuple[SlotOf, ...] = ()
    """Slots in the slot ranges that are read from the events for one organization each."""


def plan_read(edges: Sequence[datetime | None], dirty: Sequence[int] = (), dirty_of: Sequence[SlotOf] = ()) -> ReadPlan:
    """Plans the windows between ascending instants; a first or last edge of None is open. `dirty` slots, ascending, are
    read from the events, and those in `dirty_of` for their organization alone."""
    slot_ranges: list[SlotRange] = []
    for start, end in pairwise(edges):
        first = 0 if start is None else -((FIRST_INSTANT - start) // SLOT)
        last = OPEN_END if end is None else slot_at(end)
        for part in _whole(first, last, dirty):
            if slot_ranges and slot_ranges[-1].width == part.width and slot_ranges[-1].end == part.start:
                part = SlotRange(part.width, slot_ranges.pop().start, part.end)  # noqa: PLW2901 - the two are one
            slot_ranges.append(part)
    opening, ending = edges[0], edges[-1]
    divided = {slot_at(edge) for edge in edges if edge is not None and (edge - FIRST_INSTANT) % SLOT}
    raw_ranges: list[tuple[datetime, datetime]] = []
    for slot in sorted({*divided, *dirty}):
        begin, finish = slot_begin(slot), slot_begin(slot + 1)
        begin = begin if opening is None else max(begin, opening)
        finish = finish if ending is None else min(finish, ending)
        if begin >= finish:
            continue
        if raw_ranges and raw_ranges[-1][1] == begin:
            begin = raw_ranges.pop()[0]
        raw_ranges.append((begin, finish))
    apart = (each for each in dirty_of if any(part.start <= each[1] < part.end for part in slot_ranges))
    return ReadPlan(tuple(slot_ranges), tuple(raw_ranges), tuple(apart))


def _whole(first: int, last: int, dirty: Sequence[int]) -> Iterator[SlotRange]:
    """The slots from one to another except the dirty ones; whole days as days."""
    gaps = [slot for slot in dirty if first <= slot < last]
    for begin, end in zip([first, *(gap + 1 for gap in gaps)], [*gaps, last], strict=True):
        day, last_day = -(-begin // SLOTS_PER_DAY) * SLOTS_PER_DAY, end // SLOTS_PER_DAY * SLOTS_PER_DAY
        if day < last_day:
            parts = [SlotRange(1, begin, day), SlotRange(SLOTS_PER_DAY, day, last_day), SlotRange(1, last_day, end)]
        else:
            parts = [SlotRange(1, begin, end)]
        yield from (part for part in parts if part.start < part.end)


def definitions_for(query: MeterQuery, number: int) -> tuple[RollupDefinition, ...]:
    """The definitions that answer one meter of a query. None when the query depends on a property that the catalog does
    not name, or on several. Of a STATE_COUNT only what is asked of one organization, unfiltered, has rollups: they
    count entities that are merged already."""
    meter, properties = query.meters[number], query.properties
    if len(properties) > 1:
        return ()
    narrowed = query.filters or query.only or query.without
    if meter.aggregation is Aggregation.STATE_COUNT and (
        query.organization is None or narrowed or BY_ORGANIZATION in query.group_by
    ):
        return ()
    return definitions_of(query.namespace, meter, properties[0] if properties else "")

"""Counts of different values and of entities, kept in the result cache and advanced by events of the memtable. Rollups
are valid for every value that the cached count has not seen: a count at a commit has met every value of later events
itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ....domain.meter import MeterQuery
from ....domain.reading import PropertyReader, reading_of
from ..engine.instants import micros
from ..engine.statement import UNSET_VALUE
from ..memtable.memtable import MemtableEntry
from .partial_aggregates import Entity, State, StateCounts, Windows, merged

Found: TypeAlias = tuple[int, str]
"""A window and a value in it."""


@dataclass(frozen=True, slots=True)
class DistinctCount:
    """Different values by window, and the values seen in events that may not be materialized, each with its first
    commit."""

    counts: Mapping[int, int]
    seen: Mapping[Found, int]

    @property
    def cost(self) -> int:
        """Its cost in the result cache."""
        return len(self.counts) + len(self.seen)

    def advance(
        self, found: Mapping[Found, int], watermark: int, rolled_up: Callable[[Iterable[Found]], set[Found]]
    ) -> DistinctCount:
        """The count together with the values of some events. `rolled_up` answers which of these values the rollups,
        which reach to the watermark, have already."""
        seen = {one: commit for one, commit in self.seen.items() if commit > watermark}
        unseen = [one for one in found if one not in seen]
        counted = rolled_up(unseen) if unseen else set()
        counts = Counter(self.counts)
        for one in unseen:
            seen[one] = found[one]
            if one not in counted:
                counts[one[0]] += 1
        return DistinctCount(counts, seen)


def values_in(query: MeterQuery, entries: Iterable[MemtableEntry]) -> dict[Found, int]:
    """The values of some events by window, each with its first commit."""
    [meter] = query.meters
    windows = Windows(query)
    found: dict[Found, int] = {}
    for commit, _, event in entries:
        if event.type != meter.event_type or (window := windows.at(micros(event.time))) is None:
            continue
        if value := reading_of(meter, PropertyReader(event)).text:
            found.setdefault((window, value), commit)
    return found


@dataclass(frozen=True, slots=True)
class StateCount:
    """Entities by window, group and state, and the entities seen in events that may not be materialized, each with its
    last commit."""

    counts: Mapping[State, int]
    seen: Mapping[str, tuple[Entity, int]]

    @property
    def cost(self) -> int:
        """Its cost in the result cache."""
        return len(self.counts) + len(self.seen)

    def advance(
        self,
        query: MeterQuery,
        found: Mapping[str, tuple[Entity, int]],
        watermark: int,
        rolled_up: Callable[[Iterable[str]], Mapping[str, Entity]],
    ) -> StateCount:
        """The count together with the entities of some events. `rolled_up` answers entities as the rollups, which reach
        to the watermark, have them."""
        seen = {name: entity for name, entity in self.seen.items() if entity[1] > watermark}
        unseen = [name for name in found if name not in seen]
        known = rolled_up(unseen) if unseen else {}
        counts = StateCounts(query, counts=self.counts)
        for name, (entity, commit) in found.items():
            before = seen[name][0] if name in seen else known.get(name)
            seen[name] = counts.move(entity, before), commit
        return StateCount(counts.counts, seen)


def entities_in(query: MeterQuery, entries: Iterable[MemtableEntry]) -> dict[str, tuple[Entity, int]]:
    """The entities that some events describe, as `FreshEntities` selects them, each with its last commit."""
    [meter] = query.meters
    found: dict[str, tuple[Entity, int]] = {}
    for commit, position, event in entries:
        if event.type != meter.event_type:
            continue
        properties = PropertyReader(event)
        reading = reading_of(meter, properties)
        if reading.reason:
            continue
        name, state = reading.entity, reading.text
        moment = micros(event.time)
        group = properties.text(query.group_by[0]) if query.group_by else ""
        entity: Entity = [moment, commit, position, state], moment, UNSET_VALUE
        if group:
            entity = entity[0], moment, [moment, commit, position, group]
        found[name] = (merged(entity, found[name][0]) if name in found else entity), commit
    return found

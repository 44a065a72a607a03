"""Different values and entities counted, and what events held in memory add to them.

Both go by what is folded of a value or an entity. Rollups that are folded no further than a count reaches tell the
truth about all that the count did not meet in events since.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ...domain.meter import MeterQuery
from .held_events import Held
from .held_measures import Texts
from .partials import Entity, EntityCounts, State, Windows, merged
from .queries import NEVER_SAID_IS, micros
from .series import Series

Found: TypeAlias = tuple[int, str]
"""A window, and a value in it."""


@dataclass(frozen=True, slots=True)
class Values:
    """How many different values there are by window, and those met in events that may not be folded, each with the
    commit that it was met in first."""

    counts: Mapping[int, int]
    met: Mapping[Found, int]

    @property
    def cells(self) -> int:
        """How much it holds."""
        return len(self.counts) + len(self.met)

    def more(
        self, found: Mapping[Found, int], watermark: int, folded: Callable[[Iterable[Found]], set[Found]]
    ) -> Values:
        """Together with what some events say; `folded` answers which of them are counted in rollups, which reach to the
        watermark."""
        met = {one: commit for one, commit in self.met.items() if commit > watermark}
        unmet = [one for one in found if one not in met]
        counted = folded(unmet) if unmet else set()
        counts = Counter(self.counts)
        for one in unmet:
            met[one] = found[one]
            if one not in counted:
                counts[one[0]] += 1
        return Values(counts, met)


def values_in(query: MeterQuery, held: Iterable[Held]) -> dict[Found, int]:
    """The values that some events have, by window, each with the first commit that has it."""
    [meter] = query.meters
    windows = Windows(query)
    found: dict[Found, int] = {}
    for commit, _, event in held:
        if event.type != meter.event_type or (window := windows.at(micros(event.time))) is None:
            continue
        if value := Texts(event).at(meter.values[0]):
            found.setdefault((window, value), commit)
    return found


@dataclass(frozen=True, slots=True)
class Entities:
    """How many entities there are by window, group and state, and those met in events that may not be folded, each with
    the commit that it was met in last."""

    counts: Mapping[State, int]
    met: Mapping[str, tuple[Entity, int]]

    @property
    def cells(self) -> int:
        """How much it holds."""
        return len(self.counts) + len(self.met)

    def more(
        self,
        query: MeterQuery,
        found: Mapping[str, tuple[Entity, int]],
        watermark: int,
        folded: Callable[[Iterable[str]], Mapping[str, Entity]],
    ) -> Entities:
        """Together with what some events say; `folded` answers entities as they are in rollups, which reach to the
        watermark."""
        met = {name: entity for name, entity in self.met.items() if entity[1] > watermark}
        unmet = [name for name in found if name not in met]
        known = folded(unmet) if unmet else {}
        counts = EntityCounts(query, counts=self.counts)
        for name, (entity, commit) in found.items():
            before = met[name][0] if name in met else known.get(name)
            met[name] = counts.move(entity, before), commit
        return Entities(counts.counts, met)


def entities_in(query: MeterQuery, series: Series, held: Iterable[Held]) -> dict[str, tuple[Entity, int]]:
    """What some events say of entities, as `rollup_queries.FreshEntities` has it, each with the last commit that
    does."""
    found: dict[str, tuple[Entity, int]] = {}
    for commit, position, event in held:
        if event.type != series.event_type:
            continue
        texts = Texts(event)
        name, state = texts.at(series.entity), texts.at(series.state)
        if not name or not state:
            continue
        moment = micros(event.time)
        group = texts.at(query.group_by[0]) if query.group_by else ""
        entity: Entity = [moment, commit, position, state], moment, NEVER_SAID_IS
        if group:
            entity = entity[0], moment, [moment, commit, position, group]
        found[name] = (merged(entity, found[name][0]) if name in found else entity), commit
    return found

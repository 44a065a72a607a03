"""Meters: what is counted, as data. And the questions one can ask of a meter."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias


class Aggregation(StrEnum):
    """How the events of a meter become a number."""

    COUNT = "COUNT"
    SUM = "SUM"
    MIN = "MIN"
    MAX = "MAX"
    AVG = "AVG"
    UNIQUE_COUNT = "UNIQUE_COUNT"
    LATEST = "LATEST"
    STATE_COUNT = "STATE_COUNT"

    @property
    def numeric(self) -> bool:
        """Whether the meter reads a number from each event."""
        return self in (Aggregation.SUM, Aggregation.MIN, Aggregation.MAX, Aggregation.AVG, Aggregation.LATEST)

    @property
    def additive(self) -> bool:
        """Whether windows and groups add up to the whole."""
        return self in (Aggregation.COUNT, Aggregation.SUM, Aggregation.STATE_COUNT)

    @property
    def needs_an_event(self) -> bool:
        """Whether there is nothing to tell without events; the others are 0 then."""
        return self in (Aggregation.MIN, Aggregation.MAX, Aggregation.AVG, Aggregation.LATEST)


class StateWindow(StrEnum):
    """Which moment of an entity decides whether a STATE_COUNT window holds it."""

    CHANGED = "changed"
    """its latest change"""
    CREATED = "created"
    """its first event"""
    NOW = "now"
    """none: every entity counts, by the state it is in now"""


Where: TypeAlias = tuple[tuple[str, tuple[str, ...]], ...]
"""Property paths, each with the texts of which an event must have one."""


@dataclass(frozen=True, slots=True)
class Meter:
    """One thing that is counted. Property names may be dotted paths (`user.id`), see `json_reading.value_at`."""

    slug: str
    event_type: str
    aggregation: Aggregation
    description: str = ""
    unit: str = ""
    values: tuple[str, ...] = ()
    """The properties read from each event; several are added up (SUM). UNIQUE_COUNT has one: what is distinct."""
    optional: bool = False
    """An absent value counts as 0, or as no value of a UNIQUE_COUNT, instead of rejecting the event."""
    entity: str = ""
    """STATE_COUNT: the property that names the entity."""
    state: str = ""
    """STATE_COUNT: the property that holds the entity's new state."""
    states: tuple[str, ...] = ()
    """STATE_COUNT: the known states; an event with another one is rejected. Empty: any."""
    counted_states: tuple[str, ...] = ()
    """STATE_COUNT: the states whose entities make up `used`. Empty: every state."""
    window: StateWindow = StateWindow.CHANGED
    """STATE_COUNT: the moment that `used` goes by."""
    group_by: tuple[str, ...] = ()
    """The names of the properties that it can be broken down by."""
    renamed: tuple[tuple[str, str], ...] = ()
    """Of these names those that are not the paths themselves, with their paths."""
    where: Where = ()
    """Only these events count; all of the type when it is empty."""
    earlier: tuple[EarlierMeaning, ...] = ()
    """What the meter meant before, the oldest first."""

    @property
    def meaning(self) -> tuple[object, ...]:
        """What decides which number its events become: two meters of the same meaning always tell the same."""
        return (
            *(self.event_type, self.aggregation, self.values, self.optional, self.where),
            *(self.entity, self.state, self.counted_states, self.window),
        )

    def path_of(self, name: str) -> str:
        """The path of a property that it can be broken down by; anything else stands for itself."""
        return next((path for known, path in self.renamed if known == name), name)

    @property
    def group_paths(self) -> tuple[str, ...]:
        """The paths of all properties that it can be broken down by."""
        return tuple(map(self.path_of, self.group_by)) if self.renamed else self.group_by

    @property
    def meanings(self) -> tuple[Meter, ...]:
        """All that it means or meant, each on its own."""
        return (replace(self, earlier=()), *(each.meter for each in self.earlier)) if self.earlier else (self,)

    def meant_at(self, instant: datetime) -> Meter:
        """What it means for events of that time."""
        return next((each.meter for each in self.earlier if instant < each.until), self)

    @property
    def timeless(self) -> bool:
        """Whether it counts all entities by the state they are in now, whatever the period."""
        return self.aggregation is Aggregation.STATE_COUNT and self.window is StateWindow.NOW

    @property
    def numbers(self) -> tuple[str, ...]:
        """The properties that it reads quantities from."""
        return self.values if self.aggregation.numeric else ()

    @property
    def required_numbers(self) -> tuple[str, ...]:
        """Those without which it leaves an event out."""
        return () if self.optional else self.numbers

    @property
    def texts(self) -> tuple[str, ...]:
        """The properties that it reads texts from, and without which it leaves an event out: what a UNIQUE_COUNT tells
        apart, or the entity and the state of a STATE_COUNT."""
        if self.aggregation is Aggregation.UNIQUE_COUNT:
            return self.values
        return (self.entity, self.state) if self.aggregation is Aggregation.STATE_COUNT else ()


@dataclass(frozen=True, slots=True)
class EarlierMeaning:
    """What a meter meant up to an instant."""

    until: datetime
    meter: Meter
    """As it was defined then, without what was before that."""


def redefined(meter: Meter, before: Meter, since: datetime) -> Meter:
    """A meter that means something else from an instant on, and until then what it meant before."""
    starts = (None, *(each.until for each in before.earlier))
    meters = (*(each.meter for each in before.earlier), replace(before, earlier=()))
    begun = [each for start, each in zip(starts, meters, strict=True) if start is None or start < since]
    ends = [*(each.until for each in before.earlier[: len(begun) - 1]), since]
    return replace(meter, earlier=tuple(map(EarlierMeaning, ends, begun)))


BY_ORGANIZATION = "\0organization"
"""Groups or filters by the organization of an event. No property has this name."""


@dataclass(frozen=True, slots=True)
class GroupSet:
    """Some groups by some properties."""

    by: tuple[str, ...]
    groups: tuple[tuple[str, ...], ...]
    """The texts of each group, in the order of `by`."""


@dataclass(frozen=True, slots=True)
class MeterQuery:
    """One question: meters over adjoining half-open windows. A STATE_COUNT is asked alone.

    `edges` are n + 1 instants, ascending, that bound n windows `[edges[i], edges[i + 1])`; a first or last edge of
    None is open. `as_of_commit` leaves out everything stored later, so that several questions can be answered from one
    state of the store.
    """

    namespace: str
    organization: str | None
    """None: every organization of the namespace, together. A UNIQUE_COUNT counts a text that several of them have
    once; an entity of a STATE_COUNT is its organization's own."""
    meters: tuple[Meter, ...]
    edges: tuple[datetime | None, ...]
    as_of_commit: int
    group_by: tuple[str, ...] = ()
    """Properties of the events, by the names that the meters have for them, and `BY_ORGANIZATION`."""
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Keep only what has one of these texts as its group by this property."""
    only: GroupSet | None = None
    """Keeps only these groups."""
    without: GroupSet | None = None
    """Leaves these groups out."""
    state_window: StateWindow | None = None
    """STATE_COUNT: overrides the meter's own."""
    most_groups: int | None = None
    """Refuses an answer with more groups (`TooManyGroups`), before it is made."""
    most_values: int | None = None
    """Refuses an answer of different values that has more of them, those of each group and window counted (`Invalid`),
    before it is made."""

    @property
    def properties(self) -> tuple[str, ...]:
        """The properties that the answer depends on beside the meters' own, each once; not `BY_ORGANIZATION`."""
        sets = [each.by for each in (self.only, self.without) if each is not None]
        paths = [*self.group_by, *(path for path, _ in self.filters), *(path for by in sets for path in by)]
        return tuple(dict.fromkeys(path for path in paths if path != BY_ORGANIZATION))


Top: TypeAlias = tuple[str, tuple[Decimal, ...]]
"""A group, and its total of each meter that was asked about."""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The groups that have most of a meter, in order: among equals by name."""

    groups: tuple[tuple[str, ...], ...]
    of: int
    """How many groups there are in all."""
    totals: tuple[Decimal, ...]
    """Of each of `groups`."""


@dataclass(frozen=True, slots=True)
class Measure:
    """The answer for one window, group and meter. Where a meter has no events it has no measure at all."""

    window: int
    """Index of the window in the query."""
    value: Decimal
    """What the aggregation gives; for STATE_COUNT the number of entities in `state`."""
    group: tuple[str, ...] = field(default=())
    """The texts of the `group_by` properties, in their order; "" where an event has none. For STATE_COUNT those that
    the entity's events said last: a later event that says nothing of a property leaves it as it was."""
    state: str = ""
    """STATE_COUNT only."""
    meter: int = 0
    """Index of the meter in the query."""

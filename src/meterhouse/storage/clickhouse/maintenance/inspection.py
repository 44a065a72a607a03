"""Holding the table of events to the manifest, which tells what it must have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from ....domain.errors import FolderError
from ....domain.meter import Meter
from ...manifest import Manifest, State
from ..engine.engine import NO_PARAMETERS, DamagedStorage, Engine, EngineError, Parameters
from ..engine.instants import instant
from ..rollups.definition import Kind, RollupDefinition, all_definitions
from . import inspection_queries, mutation_queries
from .mutations import parameters_of

_MOST_LISTED = 10

Meters: TypeAlias = Mapping[str, Iterable[Meter]]
"""By namespace."""


class Incomplete(FolderError):
    """The folder does not hold what it must."""


def hold_to_manifest(engine: Engine, manifest: Manifest, meters: Meters) -> None:
    """Raises `Incomplete`, with what is missing as far as it can be told; nothing has changed then.

    Costs the same however many events there are, unless some are missing.
    """
    state = manifest.state
    if state.commit is None:
        _take_as_it_is(engine, manifest)
        return
    if not has_table(engine):
        if state.events:
            raise Incomplete(f"the table of events is gone, with {state.events:,} events up to commit {state.commit}")
        return
    try:
        found = count_events(engine, state)
    except EngineError as failure:
        raise Incomplete(f"stored events cannot be read: {failure}") from failure
    if found != state.events:
        raise Incomplete("; ".join(differences(engine, state, found, meters)))


class DamagedPart(NamedTuple):
    """A part that is not as it was written."""

    name: str
    reason: str

    @property
    def only_its_index(self) -> bool:
        """Whether all events are sound: the index of identities is made anew."""
        return "by_identity" in self.reason

    def __str__(self) -> str:
        """A sentence for the operator."""
        return f"part {self.name} is damaged: {self.reason}"


def damaged_parts(engine: Engine) -> list[DamagedPart]:
    """Reads every stored byte of events."""
    checked = []
    for [part] in engine.rows(inspection_queries.ACTIVE_PARTS, NO_PARAMETERS):
        try:
            checked += engine.rows(inspection_queries.CHECK_PART.format(part), NO_PARAMETERS)
        except DamagedStorage as failure:  # its message may quote bytes that are no text
            checked.append([part, 0, str(failure)])
    return [DamagedPart(part, reason) for part, sound, reason in checked if not sound]


def count_events(engine: Engine, state: State) -> int:
    """How many events the table has of those that the manifest tells of; what a purge has removed is among them."""
    [[found]] = engine.rows(inspection_queries.COUNT_EVENTS_UPTO, {"commit": state.commit or 0})
    removed = 0
    if (removal := state.removal) is not None:
        [[left]] = engine.rows(mutation_queries.REMOVABLE, parameters_of(removal))
        removed = removal.events - left
    return int(found + removed)


def differences(engine: Engine, state: State, found: int, meters: Meters) -> Iterator[str]:
    """What is missing, or too much, in sentences."""
    if found > state.events:
        yield f"there are {found:,} events up to commit {state.commit}, {found - state.events:,} more than were stored"
    else:
        yield f"{state.events - found:,} of {state.events:,} events up to commit {state.commit} are missing"
    if detached := [name for [name] in engine.rows(inspection_queries.DETACHED_PARTS, NO_PARAMETERS)]:
        yield f"the engine could not read and has set aside {_listed(detached)}"
    gaps = engine.rows(inspection_queries.COMMIT_GAPS, {"commit": state.commit or 0})
    if gaps:
        yield "commits that are not there: " + _listed(
            f"{first} to {last} ({_between(since, until)})" for first, last, since, until in gaps
        )
    yield from _organizations(engine, meters)


def _organizations(engine: Engine, meters: Meters) -> Iterator[str]:
    """Of which organizations events are missing, as far as rollups tell: for each event type by one that counts it."""
    if not engine.rows(inspection_queries.HAS_ROLLUPS, NO_PARAMETERS)[0][0]:
        return
    counting: dict[tuple[str, str], RollupDefinition] = {}
    for definition in all_definitions(meters):
        if definition.kind in (Kind.COUNT, Kind.SUM) and not (definition.group or definition.where):
            counting.setdefault((definition.namespace, definition.event_type), definition)
    lacking: Counter[str] = Counter()
    for definition in counting.values():
        scope: Parameters = {"series": definition.id, "namespace": definition.namespace, "type": definition.event_type}
        for organization, missing in engine.rows(inspection_queries.COUNTED_AND_GONE, scope):
            lacking[f"{definition.namespace}/{organization}"] += missing
    if lacking:
        yield "by organization, as far as rollups tell: " + _listed(
            f"{organization} {missing:,}" for organization, missing in lacking.most_common()
        )


def _take_as_it_is(engine: Engine, manifest: Manifest) -> None:
    """Writes what there is: an earlier version wrote the folder, and nothing tells what it must have."""
    commit = events = 0
    if has_table(engine):
        [[commit, events]] = engine.rows(inspection_queries.COMMIT_AND_COUNT, NO_PARAMETERS)
    manifest.update(commit=commit, events=events)


def has_table(engine: Engine) -> bool:
    """Whether there is a table of events."""
    return bool(engine.rows(inspection_queries.HAS_EVENTS, NO_PARAMETERS)[0][0])


def _listed(texts: Iterable[str]) -> str:
    listed = [*texts]
    more = f" and {len(listed) - _MOST_LISTED} more" if len(listed) > _MOST_LISTED else ""
    return ", ".join(listed[:_MOST_LISTED]) + more


def _between(since: int, until: int) -> str:
    """When something was stored, between what is there; 0 where nothing is."""
    sides = [("after", since), ("before", until)]
    told = [f"{side} {instant(moment).isoformat(timespec='seconds')}" for side, moment in sides if moment]
    return f"stored {' and '.join(told)}" if told else "nobody can tell when"

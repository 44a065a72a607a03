"""Which events are stored already, found by their identities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import structlog

from ....domain.event import Event, Identity
from ....domain.listing import StoredEvent
from ..engine.engine import DamagedStorage, Engine
from ..engine.event_rows import events_of
from . import identity_queries
from .identity_filter import IdentityFilter
from .identity_hash import Hashes, hashes_of_name, identity_hashes
from .identity_queries import EventsBetweenHashes
from .recent_events import RecentEvents

_log = structlog.get_logger(__name__)

_LOOKED_UP_AT_ONCE = 5_000
_RANGES_AT_ONCE = 500


class KnownEvents:
    """Finds stored events: the filter says which may be stored, memory and the engine tell what they are."""

    def __init__(self, engine: Engine, direct: Engine, identity_filter: IdentityFilter):
        """`direct` is the engine without its journal: the events that it lacks are among the recent ones."""
        self.filter = identity_filter
        self.recent = RecentEvents()
        self._engine = engine
        self._direct = direct

    def among(self, identities: Sequence[Identity], hashes: Hashes) -> dict[Identity, Event]:
        """The stored events that have one of these identities; others may be among them. For the writer alone."""
        known, looked_up = {}, set()
        for number in np.flatnonzero(self.filter.may_contain(hashes)).tolist():
            identity, value = identities[number], int(hashes[number])
            if (event := self.recent.find(value, identity)) is not None:
                known[identity] = event
            else:
                looked_up.add(value)
        return known | {found.event.identity: found.event for found in self._look_up([*looked_up], self._direct)}

    def find(self, identities: Sequence[Identity]) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        wanted = set(identities)
        stored = self._look_up(identity_hashes(wanted).tolist(), self._engine)
        return [found for found in stored if found.event.identity in wanted]

    def find_named(self, namespace: str, names: Sequence[tuple[str, str]]) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        wanted, found = set(names), list[StoredEvent]()
        ranges = sorted(hashes_of_name(namespace, *name) for name in wanted)
        for begin in range(0, len(ranges), _RANGES_AT_ONCE):
            statement = EventsBetweenHashes(ranges[begin : begin + _RANGES_AT_ONCE])
            found += events_of(self._engine.rows(statement.sql, statement.parameters))
        return [each for each in found if each.event.namespace == namespace and each.event.name in wanted]

    def forget(self) -> None:
        """Forgets what is in memory: some stored events have changed, or are gone."""
        self.recent.clear()

    def _look_up(self, hashes: Sequence[int], engine: Engine) -> Iterator[StoredEvent]:
        for begin in range(0, len(hashes), _LOOKED_UP_AT_ONCE):
            some = {"identities": hashes[begin : begin + _LOOKED_UP_AT_ONCE]}
            try:
                rows = engine.rows(identity_queries.EVENTS_BY_IDENTITY, some)
            except DamagedStorage as failure:
                _log.error("the index of identities is damaged: restart, and it is made anew", exc_info=failure)
                rows = engine.rows(identity_queries.EVENTS_BY_IDENTITY_WITHOUT_INDEX, some)
            yield from events_of(rows)

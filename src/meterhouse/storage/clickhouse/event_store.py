"""The `EventStore` port on a ClickHouse: one table is the only truth, the filter beside it is only a shortcut."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import numpy as np
import xxhash

from ...domain.event import Event, Outcome
from ...domain.listing import EventQuery, Place, StoredEvent
from ...domain.meter import Measure, Meter, MeterQuery
from . import native, queries
from .engine import Engine
from .identity_filter import Hashes, IdentityFilter
from .rollups import Rollups

_hash = xxhash.xxh3_64_intdigest
_LOOKUP_SIZE = 5_000


class ClickHouseEventStore:
    """See `ports.EventStore`."""

    def __init__(self, engine: Engine, meters: Mapping[str, Iterable[Meter]] | None = None):
        """`meters`, by namespace, are rolled up; whatever else is asked for is answered from the events."""
        self._engine = engine
        self._writing = threading.Lock()
        engine.execute(queries.CREATE_EVENTS)
        engine.execute(queries.ADD_COMMIT_INDEX)
        self._filter = IdentityFilter()
        self._filter.add(np.frombuffer(engine.uint64s(queries.ALL_IDENTITIES), dtype="<u8"))
        self._commit: int = engine.rows(queries.LATEST_COMMIT, {})[0][0]
        self._latest_commit: int = self._commit
        self._rollups = Rollups(engine, meters or {}, self._commit)

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        """See `ports.EventStore`."""
        identities = [(event.namespace, event.source, event.id) for event in events]
        # No attribute may contain NUL, so that the joined text stands for one identity only.
        hashes = np.array([_hash("\0".join(identity).encode()) for identity in identities], dtype=np.uint64)
        with self._writing:
            known = self._find_known(hashes)
            outcomes, fresh = [], []
            for position, (identity, event) in enumerate(zip(identities, events, strict=True)):
                first = known.setdefault(identity, event)
                if first is event:
                    fresh.append(position)
                    outcomes.append(Outcome.INGESTED)
                else:
                    outcomes.append(Outcome.DUPLICATE if first.same_content(event) else Outcome.CONFLICT)
            if fresh:
                self._insert([events[position] for position in fresh], hashes[fresh], received_at)
        return outcomes

    def _find_known(self, hashes: Hashes) -> dict[tuple[str, str, str], Event]:
        """The stored events that have the identity of one of these."""
        suspects = np.unique(hashes[self._filter.may_contain(hashes)]).tolist()
        known = {}
        for begin in range(0, len(suspects), _LOOKUP_SIZE):
            batch = {"identities": suspects[begin : begin + _LOOKUP_SIZE]}
            for row in self._engine.rows(queries.EVENTS_BY_IDENTITY, batch):
                namespace, source, event_id, event_type, organization, time, data = row
                event = Event(
                    namespace, source, event_id, event_type, organization, queries.instant(time), data.encode(), {}
                )
                known[event.identity] = event
        return known

    def _insert(self, events: Sequence[Event], hashes: Hashes, received_at: datetime) -> None:
        block = native.block(len(events), _columns(events, hashes, self._commit + 1, received_at))
        # An insert that fails may still have reached the disk: the filter learns of it first, so that the next
        # attempt looks; its commit number is not given again, and what is there is read.
        self._filter.add(hashes)
        self._commit += 1
        try:
            self._engine.insert("events", block)
        finally:
            self._rollups.touch({(event.namespace, event.organization) for event in events}, self._commit)
            self._latest_commit = self._commit

    def latest_commit(self) -> int:
        """See `ports.EventStore`."""
        return self._latest_commit

    def touched(self, namespace: str, organization: str) -> int:
        """See `ports.EventStore`."""
        return self._rollups.touched(namespace, organization)

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.EventStore`."""
        return self._rollups.measure(query)

    def newest(self, query: EventQuery) -> list[StoredEvent]:
        """See `ports.EventStore`."""
        statement = queries.NewestQuery(query)
        found = []
        for source, event_id, micros, data, commit, position in self._engine.rows(statement.sql, statement.parameters):
            time = queries.instant(micros)
            event = Event(
                query.namespace, source, event_id, query.event_type, query.organization, time, data.encode(), {}
            )
            found.append(StoredEvent(event, Place(time, commit, position)))
        return found if query.after is None else found[::-1]

    def first_event_at(self, namespace: str, organization: str) -> datetime | None:
        """See `ports.EventStore`."""
        return self._rollups.first_event_at(namespace, organization)

    def fold(self, settled_commit: int) -> bool:
        """See `ports.EventStore`."""
        return self._rollups.fold(settled_commit)

    def folded_commit(self) -> int:
        """See `ports.EventStore`."""
        return self._rollups.folded_commit()

    def unfolded_events(self) -> int:
        """See `ports.EventStore`."""
        return self._rollups.unfolded_events()

    def rebuild(self) -> None:
        """See `ports.EventStore`."""
        self._rollups.rebuild()

    def count(self) -> int:
        """See `ports.EventStore`."""
        [[count]] = self._engine.rows(queries.COUNT_EVENTS, {})
        return int(count)

    def close(self) -> None:
        """See `ports.EventStore`."""
        with self._writing:
            self._engine.close()


def _columns(events: Sequence[Event], hashes: Hashes, commit: int, received_at: datetime) -> list[native.Column]:
    rows = len(events)
    texts, numbers = native.texts, native.numbers
    stored_at = queries.micros(received_at)
    return [
        ("namespace", "String", texts([event.namespace.encode() for event in events])),
        ("organization", "String", texts([event.organization.encode() for event in events])),
        ("type", "String", texts([event.type.encode() for event in events])),
        ("time", "DateTime64(6, 'UTC')", numbers("q", [queries.micros(event.time) for event in events])),
        ("source", "String", texts([event.source.encode() for event in events])),
        ("id", "String", texts([event.id.encode() for event in events])),
        ("identity", "UInt64", hashes.astype("<u8", copy=False).tobytes()),
        ("commit", "UInt64", numbers("Q", [commit]) * rows),
        ("position", "UInt32", numbers("I", range(rows))),
        ("stored_at", "DateTime64(6, 'UTC')", numbers("q", [stored_at]) * rows),
        ("data", "String", texts([event.data for event in events])),
        ("numbers", "Map(String, Decimal(76, 28))", native.quantities([event.numbers for event in events])),
    ]

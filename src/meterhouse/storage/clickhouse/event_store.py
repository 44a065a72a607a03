"""The `EventStore` port on a ClickHouse: one table is the only truth, the filter beside it is only a shortcut."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime

import msgspec
import numpy as np
import xxhash

from ...domain.event import Event, Outcome
from ...domain.listing import EventQuery, Place, StoredEvent
from ...domain.meter import Measure, Meter, MeterQuery
from . import queries
from .engine import Engine
from .identity_filter import IdentityFilter
from .rollups import Rollups

_LOOKUP_SIZE = 5_000

_encoder = msgspec.json.Encoder(decimal_format="number")


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
        with self._writing:
            hashes = np.array([_hash(event) for event in events], dtype=np.uint64)
            known = self._find_known(hashes)
            outcomes, fresh = [], []
            for position, event in enumerate(events):
                first = known.setdefault(event.identity, event)
                if first is event:
                    fresh.append(position)
                    outcomes.append(Outcome.INGESTED)
                else:
                    outcomes.append(Outcome.DUPLICATE if first.same_content(event) else Outcome.CONFLICT)
            if fresh:
                self._insert([events[position] for position in fresh], hashes[fresh], received_at)
        return outcomes

    def _find_known(self, hashes: np.ndarray) -> dict[tuple[str, str, str], Event]:
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

    def _insert(self, events: list[Event], hashes: np.ndarray, received_at: datetime) -> None:
        # An insert that fails may still have reached the disk: the filter learns of it first, so that the next
        # attempt looks; its commit number is not given again, and what is there is read.
        self._filter.add(hashes)
        self._commit += 1
        stored_at = queries.micros(received_at)
        rows = [
            {
                "namespace": event.namespace,
                "organization": event.organization,
                "type": event.type,
                "time": queries.micros(event.time),
                "source": event.source,
                "id": event.id,
                "identity": identity,
                "commit": self._commit,
                "position": position,
                "stored_at": stored_at,
                "data": event.data.decode(),
                "numbers": event.numbers,
            }
            for position, (event, identity) in enumerate(zip(events, hashes.tolist(), strict=True))
        ]
        try:
            self._engine.insert("events", _encoder.encode_lines(rows))
        finally:
            self._rollups.touch({(event.namespace, event.organization) for event in events}, self._commit)
            self._latest_commit = self._commit

    def latest_commit(self) -> int:
        """See `ports.EventStore`."""
        return self._latest_commit

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


def _hash(event: Event) -> int:
    # No attribute may contain NUL, so that the joined text stands for one identity only.
    return int(xxhash.xxh3_64_intdigest("\0".join(event.identity).encode()))

"""The `EventStore` port on a ClickHouse: one table is the only truth, the filter beside it is only a shortcut."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path

import numpy as np
import xxhash

from ...domain.event import Event, Outcome
from ...domain.listing import EventQuery, Place, StoredEvent
from ...domain.meter import Measure, Meter, MeterQuery
from . import native, queries
from .engine import NO_PARAMETERS, Engine, EngineError
from .identity_filter import Hashes, IdentityFilter, Mark, Snapshot
from .rollups import Rollups

_hash = xxhash.xxh3_64_intdigest
_LOOKUP_SIZE = 5_000
_RECENT_EVENTS = 20_000
"""Events stored last that are held in memory: most retries repeat what was just sent. Those with"""
_RECENT_DATA_BYTES = 1_024
"""more data than this are looked up like any other."""
_SAVE_AFTER = 1_000_000
"""New identities that a snapshot waits for at least, and"""
_SAVE_SHARE = 16
"""this part of all: what is left for the next start stays small, and the file is not written over and over."""


class ClickHouseEventStore:
    """See `ports.EventStore`."""

    def __init__(
        self, engine: Engine, meters: Mapping[str, Iterable[Meter]] | None = None, snapshot: Path | None = None
    ):
        """`meters`, by namespace, are rolled up; whatever else is asked for is answered from the events. `snapshot`
        names a file that makes the next start faster."""
        self._engine = engine
        self._writing = threading.Lock()
        self._saving = threading.Lock()
        engine.execute(queries.CREATE_EVENTS)
        indexes = {name for [name] in engine.rows(queries.INDEXES, NO_PARAMETERS)}
        for name, change in queries.ADDED_INDEXES.items():
            if name not in indexes:
                engine.execute(change)
        for name, change in queries.DROPPED_INDEXES.items():
            if name in indexes:
                engine.execute(change)
        if engine.rows(queries.PARTS_WITHOUT_IDENTITIES, NO_PARAMETERS)[0][0]:
            engine.execute(queries.INDEX_IDENTITIES)
        self._commit: int = engine.rows(queries.LATEST_COMMIT, NO_PARAMETERS)[0][0]
        self._latest_commit: int = self._commit
        self._recent: OrderedDict[tuple[str, str, str], Event] = OrderedDict()
        self._certain = True
        self._unsaved = 0
        self._snapshot = Snapshot(snapshot) if snapshot else None
        self._filter = self._restored() or self._filled()
        self._rollups = Rollups(engine, meters or {}, self._commit)

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        """See `ports.EventStore`."""
        identities = [(event.namespace, event.source, event.id) for event in events]
        # No attribute may contain NUL, so that the joined text stands for one identity only.
        hashes = np.array([_hash("\0".join(identity).encode()) for identity in identities], dtype=np.uint64)
        with self._writing:
            known = self._find_known(identities, hashes)
            outcomes, fresh = [], []
            for position, (identity, event) in enumerate(zip(identities, events, strict=True)):
                if (first := known.get(identity)) is not None:
                    outcomes.append(Outcome.DUPLICATE if first.same_content(event) else Outcome.CONFLICT)
                else:
                    known[identity] = event
                    fresh.append(position)
                    outcomes.append(Outcome.INGESTED)
            if fresh:
                self._insert([events[position] for position in fresh], hashes[fresh], received_at)
        return outcomes

    def _find_known(
        self, identities: Sequence[tuple[str, str, str]], hashes: Hashes
    ) -> dict[tuple[str, str, str], Event]:
        """The stored events that have one of these identities."""
        known, looked_up = {}, set()
        for place in np.flatnonzero(self._filter.may_contain(hashes)).tolist():
            if (event := self._recent.get(identities[place])) is not None:
                known[identities[place]] = event
            else:
                looked_up.add(int(hashes[place]))
        suspects = list(looked_up)
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
        self._unsaved += len(events)
        try:
            self._engine.insert("events", block)
        except BaseException:
            self._certain = False
            raise
        finally:
            self._rollups.touch({(event.namespace, event.organization) for event in events}, self._commit)
            self._latest_commit = self._commit
        self._remember(events)

    def _remember(self, stored: Sequence[Event]) -> None:
        for event in stored[-_RECENT_EVENTS:]:
            if len(event.data) <= _RECENT_DATA_BYTES:
                self._recent[event.identity] = event
        for _ in range(len(self._recent) - _RECENT_EVENTS):
            self._recent.popitem(last=False)  # of a plain dict, each would walk over all that were deleted before

    def _filled(self) -> IdentityFilter:
        self._unsaved = self.count()
        return IdentityFilter.of_stored(self._stored_between, self._unsaved)

    def _restored(self) -> IdentityFilter | None:
        """The filter from the snapshot and from what was stored since; None when it is not of these events."""
        saved = self._snapshot and self._snapshot.load()
        if not saved:
            return None
        shards, mark = saved
        if not mark.events or self._mark(mark.commit) != mark:
            return None
        restored = IdentityFilter(self._stored_between)
        restored.restore(shards)
        since = self._uint64s(queries.IDENTITIES_AFTER, commit=mark.commit)
        restored.add(since)
        self._unsaved = since.size
        return restored

    def _stored_between(self, first: int, last: int) -> Hashes:
        return self._uint64s(queries.IDENTITIES_BETWEEN, first=first, last=last)

    def _uint64s(self, sql: str, **parameters: int) -> Hashes:
        return np.frombuffer(self._engine.uint64s(sql, parameters), dtype="<u8")

    def _mark(self, commit: int) -> Mark:
        [[events, identities, stored_at]] = self._engine.rows(queries.COMMIT_MARK, {"commit": commit})
        return Mark(commit, events, identities, stored_at)

    def checkpoint(self) -> None:
        """See `ports.EventStore`."""
        if self._unsaved >= max(_SAVE_AFTER, self._filter.size // _SAVE_SHARE):
            self._save()

    def _save(self) -> None:
        with self._saving:
            with self._writing:
                # After an insert that failed nobody knows what the next start will find. It has to look.
                if self._snapshot is None or not self._certain or not self._unsaved:
                    return
                mark, shards, unsaved = self._mark(self._commit), self._filter.shards(), self._unsaved
            self._snapshot.save(shards, mark)
            with self._writing:
                self._unsaved -= unsaved

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
        with self._saving:
            if self._snapshot:
                self._snapshot.drop()
            for renew in self._filter.renewals():
                with self._writing:  # not for all of them together: others wait to write
                    renew()
            with self._writing:
                self._unsaved = self._filter.size
        self._rollups.rebuild()

    def count(self) -> int:
        """See `ports.EventStore`."""
        [[count]] = self._engine.rows(queries.COUNT_EVENTS, {})
        return int(count)

    def close(self) -> None:
        """See `ports.EventStore`."""
        with suppress(OSError, EngineError):  # the next start takes longer
            self._save()
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

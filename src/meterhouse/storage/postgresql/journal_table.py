"""The journal's log in PostgreSQL, and the batches in which it goes to a ClickHouse server exactly once."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog
import zstandard

from ..clickhouse.engine.engine import DamagedStorage, Engine
from ..clickhouse.journal import journal_queries
from ..clickhouse.journal.segment import Record
from ..manifest import Batch, Manifest, State
from . import cluster_queries
from .lease import Lease
from .session import DatabaseUnavailable, Session

_log = structlog.get_logger(__name__)


class JournalTable:
    """See `journal.Log`. A commit is one statement of the database, which does nothing without the lease.

    What goes to the server is written down before: from which commit to which. Whoever repeats it sends the same under
    the same token, which the server takes once, however late.
    """

    def __init__(self, engine: Engine, appending: Session, session: Session, lease: Lease, manifest: Manifest):
        """`appending` is for commits, which wait for nothing else."""
        self._engine = engine
        self._appending = appending
        self._session = session
        self._lease = lease
        self._manifest = manifest
        self._doubtful: int | None = None
        """The first commit of which nobody knows whether the database has it."""
        self._forgotten = 0

    def left(self) -> list[Record]:
        """See `Log`."""
        scope = {"shard": self._lease.shard, "commit": self._manifest.state.commit}
        rows = self._session.rows(cluster_queries.JOURNAL_AFTER, scope)
        return [Record(commit, events, zstandard.decompress(block)) for commit, events, block in rows]

    def begin(self) -> None:
        """See `Log`."""
        self.forget()

    def append(self, record: Record) -> None:
        """See `Log`."""
        self._settle()
        block = zstandard.compress(record.block, 1)
        added = {"commit": record.commit, "events": record.events, "block": block}
        try:
            self._lease.change(self._appending, cluster_queries.APPEND, **added)
        except DatabaseUnavailable:
            self._doubtful = record.commit
            raise

    def _settle(self) -> None:
        """Takes back a commit of which nobody knows whether it came through: nobody was told that it did."""
        if self._doubtful is None:
            return
        self._lease.raise_epoch()  # what is still on its way comes too late
        self._lease.change(self._session, cluster_queries.REMOVE_FROM, commit=self._doubtful)
        self._doubtful = None

    def check_room(self) -> None:
        """See `Log`."""

    def rotate(self) -> None:
        """See `Log`."""

    def insert(self, records: Sequence[Record], *, doubtful: bool) -> None:
        """See `Log`."""
        state = self._manifest.state
        lacking = [record for record in records if record.commit > (state.commit or 0)]
        begun = state.batch.last if state.batch is not None else 0
        for batch in (
            [record for record in lacking if record.commit <= begun],
            [record for record in lacking if record.commit > begun],
        ):
            if batch:
                self._insert_batch(batch, doubtful=doubtful)

    def _insert_batch(self, records: Sequence[Record], *, doubtful: bool) -> None:
        block = b"".join(record.block for record in records)
        events = sum(record.events for record in records)
        batch = self._manifest.state.batch
        if batch is None:
            batch = Batch(records[0].commit, records[-1].commit)
            self._manifest.update(batch=batch)
        found = self._count(batch) if doubtful else 0
        if not found:
            self._engine.insert("events", block, self._token(batch))
            found = self._count(batch)
        if not found:
            # A server that crashed may know the token of a part that it does not have.
            _log.warning("the server has lost what it took; it is sent again", first=batch.first, last=batch.last)
            batch = msgspec.structs.replace(batch, attempt=batch.attempt + 1)
            self._manifest.update(batch=batch)
            self._engine.insert("events", block, self._token(batch))
            found = self._count(batch)
        if found != events:
            raise DamagedStorage(
                f"the commits {batch.first} to {batch.last} of shard {self._lease.shard} have {events} events, and the "
                f"server has {found} of them"
            )
        self._manifest.change(lambda state: _stored(state, batch, events))

    def _count(self, batch: Batch) -> int:
        between = {"first": batch.first, "last": batch.last}
        [[count]] = self._engine.rows(journal_queries.COUNT_COMMITS, between)
        return int(count)

    def _token(self, batch: Batch) -> str:
        return f"{self._lease.shard}:{batch.first}-{batch.last}:{batch.attempt}"

    def forget(self) -> None:
        """See `Log`."""
        stored = self._manifest.state.commit or 0
        if stored > self._forgotten:
            self._lease.change(self._session, cluster_queries.REMOVE_UPTO, commit=stored)
            self._forgotten = stored

    def close(self, *, emptied: bool) -> None:
        """See `Log`."""


def _stored(state: State, batch: Batch, events: int) -> State:
    return msgspec.structs.replace(state, commit=batch.last, events=state.events + events, batch=None)

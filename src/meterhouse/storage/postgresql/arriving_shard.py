"""A shard that the events of a running server arrive in."""

from __future__ import annotations

import time
from contextlib import ExitStack

from ...domain.errors import FolderError
from ...domain.loss import Loss
from ...domain.migration import CommitRange, CopiedContent
from ..clickhouse.engine.engine import EngineUnavailable
from ..clickhouse.engine.tables import prepare_tables
from ..clickhouse.maintenance.copying import StoredCommits
from ..clickhouse.read.event_queries import COUNT_EVENTS
from ..manifest import State
from .ground import ShardOfNode, takeover_of
from .lease import Lease
from .manifests import manifest_of
from .session import Session

_TAKES_WITHIN_S = 40
"""Nodes that have it hand it over first."""
_LOOKS_EVERY_S = 0.2
_ATTEMPTS = 5


class ArrivingShard:
    """Has the shard's lease. Methods raise `EngineError`."""

    def __init__(self, place: ShardOfNode, cluster_id: str):
        """Takes the lease, and changes nothing else. Raises `FolderError` while a node keeps it."""
        self._place = place
        self._cluster_id = cluster_id
        self._cleanup = ExitStack()
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._session = self._opened()
            self._lease = self._take(self._opened())
            self._cleanup.callback(self._lease.release)
            self._lease.keep()
            on_failure.pop_all()

    def _opened(self) -> Session:
        session = Session(self._place.cluster_url)
        self._cleanup.callback(session.close)
        return session

    def _take(self, session: Session) -> Lease:
        place, until = self._place, time.monotonic() + _TAKES_WITHIN_S
        while time.monotonic() < until:
            holder = place.node, place.address
            if lease := Lease.take(session, place.shard, holder, place.lease_seconds, place.lost):
                return lease
            time.sleep(_LOOKS_EVERY_S)
        raise FolderError(f"a node of the cluster keeps shard {place.shard}: stop all nodes")

    def begin_anew(self) -> None:
        """Drops what an attempt before has left, and makes an empty table. Raises `FolderError` where the databases are
        of others."""
        self._manifest = manifest_of(self._session, self._lease)
        self._manifest.change(lambda state: State(sequence=state.sequence))
        takeover = takeover_of(self._place, self._cluster_id, self._lease, self._manifest, lambda: None)
        self._engine = takeover.begin_anew()
        self._cleanup.callback(self._engine.close)
        prepare_tables(self._engine)

    def insert(self, block: bytes, commits: CommitRange) -> None:
        """Inserts rows of these commits, which are not there yet."""
        token = f"migrate:{commits.after + 1}-{commits.upto}"
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self._engine.insert("events", block, token)
            except EngineUnavailable:  # it may have been done all the same: the token tells
                if attempt == _ATTEMPTS:
                    raise
                time.sleep(attempt)
            else:
                return

    def content(self, commits: CommitRange) -> CopiedContent:
        """See `ports.Copying`."""
        return StoredCommits(self._engine).content(commits)

    def finish(self, commit: int, losses: list[Loss]) -> int:
        """Writes down that the commits up to one are there, and what was lost before; answers how many events they
        have."""
        [[events]] = self._engine.rows(COUNT_EVENTS, {})
        self._manifest.update(commit=commit, events=int(events), losses=losses)
        return int(events)

    def close(self) -> None:
        """Gives the lease back."""
        self._cleanup.close()

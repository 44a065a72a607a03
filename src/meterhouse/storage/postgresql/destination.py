"""The cluster that a running server is moved into: its shards, its ledger, and how far the move is."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from contextlib import ExitStack, closing

import msgspec
from sqlalchemy import Connection

from ...domain.errors import FolderError
from ...domain.loss import Loss
from ...domain.migration import CommitRange, CopiedContent
from ..ledger.sql_ledger import SqlLedger
from . import cluster_queries
from .arrival import Arrival, Step, decode_arrival
from .arriving_shard import ArrivingShard
from .ground import ShardOfNode
from .membership import Membership


class Destination:
    """Belongs to one attempt to move a server: whatever an earlier attempt still sends changes nothing. Methods raise
    `FolderError` and `EngineError`."""

    def __init__(self, membership: Membership, places: Sequence[ShardOfNode]):
        """Changes nothing yet."""
        self._membership = membership
        self._places = places
        self._cleanup = ExitStack()
        self.shards: list[ArrivingShard] = []
        """Those that were taken."""
        self._at = membership.arrival()
        self._refuse_arrived()
        self._refuse_foreign()

    def is_ready_for(self, migration: str) -> bool:
        """Whether an earlier attempt has brought all that a migration moves."""
        return self._at is not None and self._at.step is Step.READY and self._at.migration == migration

    def begin_anew(self) -> None:
        """Takes all shards, and drops what earlier attempts have left. From now on nodes stand by, unless it raises
        before anything was dropped."""
        is_first = self._at is None or self._at.step is Step.BEGINNING
        self._write(Arrival(secrets.token_hex(8), Step.BEGINNING if is_first else Step.COPYING))
        try:
            self._take_shards()
            self._refuse_foreign()  # now that no node takes anything any more
        except FolderError:
            if is_first:
                self._write(None)
            raise
        self._step(Step.COPYING)
        for shard in self.shards:
            shard.begin_anew()

    def content(self, commits: CommitRange) -> list[CopiedContent]:
        """What each shard has of some commits."""
        return [shard.content(commits) for shard in self.shards]

    def replace_ledger(self, lines: Iterable[bytes]) -> int:
        """Puts rows in the place of all that there is, and answers how many."""

        def allowed(connection: Connection) -> None:
            [[told]] = connection.exec_driver_sql(cluster_queries.LOCK_ARRIVAL)
            if decode_arrival(told) != self._at:
                raise FolderError("another process moves a server into this cluster at the same time")

        with closing(self._ledger()) as ledger:
            return ledger.replace(lines, allowed)

    def ready(self, migration: str, commit: int, losses: list[Loss]) -> int:
        """Everything up to a commit is there, and has arrived as soon as the server says that it moved. Answers how
        many events there are."""
        events = sum(shard.finish(commit, losses) for shard in self.shards)
        assert self._at is not None  # it has begun
        self._write(msgspec.structs.replace(self._at, step=Step.READY, migration=migration))
        return events

    def arrived(self) -> None:
        """Lets nodes serve."""
        self._step(Step.ARRIVED)
        self.close()

    def close(self) -> None:
        """Gives the shards back."""
        self._cleanup.close()

    def _take_shards(self) -> None:
        cluster_id = self._membership.cluster_id()
        for place in self._places:
            self.shards.append(ArrivingShard(place, cluster_id))
            self._cleanup.callback(self.shards[-1].close)

    def _refuse_arrived(self) -> None:
        if self._at is not None and not self._at.unfinished:
            raise FolderError("a server has been moved into this cluster already; nothing was changed")

    def _refuse_foreign(self) -> None:
        """Raises where there is something that no attempt of a move has brought."""
        if self._at is not None and self._at.step is not Step.BEGINNING:
            return
        with closing(self._ledger()) as ledger:
            found = "" if ledger.is_empty() else "organizations"
        if self._membership.has_events():
            found = "events"
        if found:
            raise FolderError(f"the cluster has {found} already, and a server is moved into an empty one")

    def _ledger(self) -> SqlLedger:
        return SqlLedger.open(self._places[0].cluster_url)

    def _step(self, step: Step) -> None:
        assert self._at is not None  # it has begun
        self._write(msgspec.structs.replace(self._at, step=step))

    def _write(self, arrival: Arrival | None) -> None:
        self._membership.change_arrival(self._at, arrival)
        self._at = arrival

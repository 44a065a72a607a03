"""Moving a running server into a cluster: its events are copied while it serves, the rest in a short pause.

The order makes it safe to end this at any moment. The server serves until it has written down that it moved, and all
that was done before can be done anew. From then on the cluster has everything, and all that is left is to say so there.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Protocol

from .domain.errors import FolderError
from .domain.loss import Loss
from .domain.migration import CommitRange, CopiedContent, MigrationState
from .joining import joined
from .ports.chunks import Chunks
from .settings import Settings
from .storage.clickhouse.engine.engine import EngineError
from .storage.folder import moved_by
from .storage.postgresql.destination import Destination
from .storage.postgresql.ground import ShardOfNode

_LITTLE_S = 1
"""When the last round took no longer, the rest can be copied in a pause."""
_MOST_ROUNDS = 20
_LAPSES_WITHIN_S = 35
_PAUSES = 10
_COMPARED_RANGES = 30
"""After so many ranges they are compared."""


class Source(Protocol):
    """The server that is moved."""

    def state(self) -> tuple[MigrationState, str]:
        """How far it is, and the id of its migration."""
        ...

    def begin(self) -> str:
        """Begins a migration, and answers its id; from then on the server hears that this process is there."""
        ...

    def pause(self) -> bool:
        """Has the server change nothing; False while requests under way do not end."""
        ...

    def moved(self) -> None:
        """Has the server write down that it has moved."""
        ...

    def cancel(self) -> None:
        """Has the server go on, if it can be told."""
        ...

    def latest_commit(self) -> int:
        """Raises when the server does not know of the migration any more."""
        ...

    def losses(self) -> list[Loss]:
        """Those that were accepted in repairs: answers tell of them."""
        ...

    def fitting(self, wanted: CommitRange) -> CommitRange:
        """See `ports.Copying`."""
        ...

    def rows(self, commits: CommitRange, shards: int, shard: int) -> bytes:
        """See `ports.Copying`."""
        ...

    def content(self, commits: CommitRange) -> CopiedContent:
        """See `ports.Copying`."""
        ...

    def ledger(self) -> Chunks:
        """A row on each line."""
        ...


@dataclass(frozen=True, slots=True)
class Migrated:
    """What was moved."""

    events: int
    data_bytes: int
    """Of the events, as they went over the network."""
    copying_s: float
    """From the beginning to the end of the pause."""
    pause_s: float


Tell = Callable[[str], None]


def migrate(settings: Settings, version: str, source: Source, tell: Tell) -> Migrated | None:
    """Moves a server; None where all of it was there, and only that was still to be said. Raises `FolderError`, and
    what the source raises: the server goes on then, unless it has moved, and this can be repeated."""
    with _destination(settings, version) as destination:
        if _has_moved(source, destination, tell):
            destination.arrived()
            return None
        return _Move(source, destination, tell).run()


def finish(settings: Settings, version: str) -> bool:
    """Says in the cluster that the server of the data folder has moved there, where only that is left. False for a
    folder that has not moved. Raises `FolderError`."""
    if (migration := moved_by(settings.data)) is None:
        return False
    with _destination(settings, version) as destination:
        if not destination.is_ready_for(migration):
            raise FolderError(f"{settings.data} has been moved into another cluster")
        destination.arrived()
    return True


@contextmanager
def _destination(settings: Settings, version: str) -> Iterator[Destination]:
    with joined(settings, version, f"meterhouse migrate on {socket.gethostname()}") as membership:
        cluster_url = settings.cluster_url
        assert cluster_url is not None  # `joined` has looked
        places = [
            ShardOfNode(
                shard,
                cluster_url,
                clickhouse_url,
                settings.clickhouse_cluster,
                membership.node,
                "",
                settings.lease_seconds,
                settings.data,
                lambda: None,
            )
            for shard, clickhouse_url in enumerate(settings.clickhouse_urls)
        ]
        try:
            with closing(Destination(membership, places)) as destination:
                yield destination
        except EngineError as failure:
            raise FolderError(f"the cluster does not take what is moved: {failure}") from failure
        finally:
            membership.leave()


def _has_moved(source: Source, destination: Destination, tell: Tell) -> bool:
    """Whether the server has moved there, by an attempt that ended before it could say so. Waits until one that was
    ended has lapsed. Raises `FolderError` for a server that has moved elsewhere."""
    until = time.monotonic() + _LAPSES_WITHIN_S
    while True:
        state, migration = source.state()
        if state is MigrationState.MOVED:
            if destination.is_ready_for(migration):
                return True
            raise FolderError("the server has been moved into another cluster")
        if state is MigrationState.SERVING:
            return False
        if time.monotonic() > until:
            raise FolderError("another process moves the server")
        tell("waiting until the server has given up an attempt that was ended")
        time.sleep(1)


class _Move:
    """One attempt."""

    def __init__(self, source: Source, destination: Destination, tell: Tell):
        self._source = source
        self._destination = destination
        self._tell = tell
        self._data_bytes = 0

    def run(self) -> Migrated:
        """Raises what `migrate` does."""
        began = time.monotonic()
        migration = self._source.begin()
        try:
            self._destination.begin_anew()
            copied = self._copy_history()
            paused = self._pause()
            latest = self._source.latest_commit()
            self._copy(CommitRange(copied, latest))
            rows = self._destination.replace_ledger(_lines(self._source.ledger()))
            self._tell(f"copied {rows:,} rows of the ledger")
            events = self._destination.ready(migration, latest, self._source.losses())
            self._source.moved()
        except BaseException:
            self._source.cancel()
            raise
        self._destination.arrived()
        ended = time.monotonic()
        return Migrated(events, self._data_bytes, ended - began, ended - paused)

    def _copy_history(self) -> int:
        """Copies until little is left; answers up to which commit."""
        copied = 0
        for _ in range(_MOST_ROUNDS):
            latest, began = self._source.latest_commit(), time.monotonic()
            self._copy(CommitRange(copied, latest))
            copied = latest
            if time.monotonic() - began < _LITTLE_S:
                break
        return copied

    def _pause(self) -> float:
        """Pauses the server; answers since when."""
        for _ in range(_PAUSES):
            began = time.monotonic()
            if self._source.pause():
                self._tell("the server has paused")
                return began
            time.sleep(_LITTLE_S)
        raise FolderError("the server could not pause: requests that change something take too long")

    def _copy(self, commits: CommitRange) -> None:
        """Copies commits into all shards, and compares what has arrived."""
        shards = self._destination.shards
        after, compared, ranges = commits.after, commits.after, 0
        while after < commits.upto:
            found = self._source.fitting(CommitRange(after, commits.upto))
            for number, shard in enumerate(shards):
                if block := self._source.rows(found, len(shards), number):
                    self._data_bytes += len(block)
                    shard.insert(block, found)
            after, ranges = found.upto, ranges + 1
            if ranges % _COMPARED_RANGES == 0 or after == commits.upto:
                self._compare(CommitRange(compared, after))
                compared = after
                self._tell(f"copied up to commit {after:,}: {self._data_bytes:,} bytes")

    def _compare(self, commits: CommitRange) -> None:
        there, here = self._source.content(commits), CopiedContent()
        for found in self._destination.content(commits):
            here = here.with_shard(found)
            if (found.records, found.recorded) != (there.records, there.recorded):
                raise FolderError(f"the commits {commits} were to arrive as {there}, and a shard has {found}")
        if here != there:
            raise FolderError(f"the commits {commits} were to arrive as {there}, and arrived as {here}")


def _lines(chunks: Chunks) -> Iterator[bytes]:
    left = b""
    for chunk in chunks:
        *lines, left = (left + chunk).split(b"\n")
        yield from lines
    if left:
        raise FolderError("the ledger broke off")

"""What a node's process of a shard stands on: the lease and the journal in PostgreSQL, the events on a ClickHouse."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

import structlog

from ...domain.errors import FolderError
from ...domain.meter import Meter
from ...domain.shards import Seat
from ..clickhouse.engine.engine import EngineError
from ..ledger.shared_ledger import SharedLedger
from ..manifest import Manifest
from .arrival import UNFINISHED
from .lease import Lease
from .manifests import manifest_of
from .membership import Membership
from .session import Session

if TYPE_CHECKING:
    from ..clickhouse.maintenance.takeover import Takeover
    from ..clickhouse.store import ClickHouseEventStore

_log = structlog.get_logger(__name__)

_TAKES_WITHIN_S = 15
_LOOKS_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class ShardOfNode:
    """A shard that a node is to have, and where everything is."""

    shard: int
    cluster_url: str
    clickhouse_url: str
    clickhouse_cluster: str | None
    node: str
    address: str
    """Where other processes reach the one that has it."""
    lease_seconds: int
    cache: Path
    """A folder for what makes the next start faster."""
    lost: Callable[[], None]
    """Ends the process: another has taken the shard, or is to."""


def takeover_of(
    place: ShardOfNode, cluster_id: str, lease: Lease, manifest: Manifest, abandon: Callable[[], None]
) -> Takeover:
    """The way to a shard's events for who has its lease. `abandon` is told to give them up."""
    from ..clickhouse.engine.server_engine import ServerEngine  # noqa: PLC0415 - only a cluster has it installed
    from ..clickhouse.maintenance.takeover import Takeover  # noqa: PLC0415 - with it comes numpy

    address = urlsplit(place.clickhouse_url)
    server = urlunsplit(address._replace(path=""))

    def connect(database: str) -> ServerEngine:
        return ServerEngine(server, database, cluster=place.clickhouse_cluster, abandon=abandon)

    owner = f"Meterhouse cluster {cluster_id} shard {place.shard}"
    return Takeover(connect, address.path[1:], lease.epoch, owner, manifest)


class ClusterGround:
    """See `opening.Ground`."""

    def __init__(self, place: ShardOfNode):
        """Takes the shard's lease, and waits for it while another node hands the shard over. Raises `FolderError`."""
        self._place = place
        self._cleanup = ExitStack()
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            self._session, self._leasing, self._appending = (self._opened() for _ in range(3))
            self.membership = Membership(self._session, place.node, place.lease_seconds)
            self._cluster_id = self.membership.cluster_id()
            self.ledger = SharedLedger.open(place.cluster_url)
            self._cleanup.callback(self.ledger.close)
            self.seat = Seat(place.shard, self.ledger.shard_map())
            self.lease = self._take_lease()
            self._cleanup.callback(self.lease.release)
            self._refuse_unfinished()
            self.lease.keep()
            on_failure.pop_all()

    def _opened(self) -> Session:
        session = Session(self._place.cluster_url)
        self._cleanup.callback(session.close)
        return session

    def _take_lease(self) -> Lease:
        place = self._place
        until = time.monotonic() + _TAKES_WITHIN_S
        while time.monotonic() < until:
            holder = place.node, place.address
            if lease := Lease.take(self._leasing, place.shard, holder, place.lease_seconds, place.lost):
                return lease
            time.sleep(_LOOKS_EVERY_S)
        raise FolderError(f"another node has shard {place.shard}")

    def _refuse_unfinished(self) -> None:
        """Raises `FolderError` while a server is being moved into the cluster. It is looked after the lease was taken:
        nobody begins without it."""
        if (arrival := self.membership.arrival()) is not None and arrival.unfinished:
            raise FolderError(UNFINISHED)

    def open_store(self, meters: Mapping[str, tuple[Meter, ...]]) -> ClickHouseEventStore:
        """See `opening.Ground`."""
        from ..clickhouse.store import ClickHouseEventStore  # noqa: PLC0415 - the same
        from .journal_table import JournalTable  # noqa: PLC0415 - the same

        place, lease = self._place, self.lease
        manifest = manifest_of(self._session, lease)
        try:
            engine = takeover_of(place, self._cluster_id, lease, manifest, self._abandon).run()
            with ExitStack() as on_failure:
                on_failure.callback(engine.close)
                log = JournalTable(engine, self._appending, self._session, lease, manifest)
                store = ClickHouseEventStore(engine, meters, self._snapshot(), manifest, log)
                on_failure.pop_all()
        except EngineError as failure:
            raise FolderError(f"shard {place.shard} cannot be opened: {failure}") from failure
        self._cleanup.callback(store.close)
        return store

    def _abandon(self) -> None:
        """Ends this process: the next one takes the shard over anew."""
        _log.warning("a change of rollups was not answered, and the shard is taken over anew", shard=self._place.shard)
        self._place.lost()

    def _snapshot(self) -> Path:
        self._place.cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        return self._place.cache / "identities.snapshot"

    def announce(self, url: str) -> None:
        """See `opening.Ground`."""

    def mark_moved(self, migration: str) -> None:
        """See `opening.Ground`."""
        raise FolderError(f"migration {migration}: a node of a cluster is not moved into one")

    def close(self) -> None:
        """See `opening.Ground`."""
        self._cleanup.close()

"""Which nodes a cluster has, what they have agreed on, and who has which shard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import structlog

from ...domain.errors import FolderError
from ...ports.members import Members
from ..manifest import decode_state
from . import cluster_queries
from .arrival import Arrival, decode_arrival, encode_arrival
from .session import Session

_SAFE = {"fsync": {"on"}, "full_page_writes": {"on"}, "synchronous_commit": {"on", "remote_write", "remote_apply"}}
_FAR_AHEAD_MS = 5_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a shard, or had it last."""

    epoch: int
    node: str
    address: str
    holds: bool
    """Whether the lease had not ended when it was looked at."""


class Membership:
    """What nodes know of each other. Methods raise `DatabaseUnavailable`."""

    def __init__(self, session: Session, node: str, lease_seconds: int):
        """`node` is this node's name, which no other has."""
        self._session = session
        self.node = node
        self._seconds = lease_seconds
        self._ahead_ms = 0

    def join(self, cluster_id: str, agreed: Mapping[str, str], now: datetime) -> str:
        """Joins the cluster, or founds it as `cluster_id`; answers the id that it has. Raises `FolderError`, which says
        what differs, unless this node runs with what the others run with, and when the database may lose commits."""
        with self._session.transaction() as connection:
            for name, setting in connection.execute(cluster_queries.DURABILITY.encode()):
                if setting not in _SAFE[name]:
                    raise FolderError(
                        f"METERHOUSE_CLUSTER_URL: the database runs with {name} = {setting}, and would lose commits "
                        f"that were acknowledged; set it to {min(_SAFE[name])}"
                    )
            connection.execute(cluster_queries.LOCK_CLUSTER.encode())
            [[founded]] = connection.execute(cluster_queries.HAS_TABLES.encode())
            for sql in () if founded else cluster_queries.CREATE_TABLES:
                connection.execute(sql.encode())
            scope = {"seconds": self._seconds}
            nodes = [name for name, _ in connection.execute(cluster_queries.NODES.encode(), scope)]
            others = sorted({*nodes} - {self.node})
            told = json.dumps(agreed, sort_keys=True)
            if (found := connection.execute(cluster_queries.CLUSTER.encode()).fetchone()) is None:
                connection.execute(cluster_queries.FOUND_CLUSTER.encode(), {"id": cluster_id, "agreed": told})
            else:
                cluster_id, before = found[0], json.loads(found[1])
                _refuse_others(before, agreed, others)
                connection.execute(cluster_queries.AGREE.encode(), {"agreed": told})
            connection.execute(cluster_queries.FORGET_NODES.encode())
            [[clock_ms]] = connection.execute(cluster_queries.CLOCK.encode())
            self._ahead_ms = int(now.timestamp() * 1000) - clock_ms
            connection.execute(cluster_queries.SEEN.encode(), {"node": self.node, "ahead_ms": self._ahead_ms})
        if abs(self._ahead_ms) > _FAR_AHEAD_MS:
            _log.warning("this node's clock and the database's differ: set it", ahead_ms=self._ahead_ms)
        return cluster_id

    def cluster_id(self) -> str:
        """The id that the cluster was given when it was founded. Raises `FolderError` where there is none."""
        [[founded]] = self._session.rows(cluster_queries.HAS_TABLES)
        if not founded or not (found := self._session.rows(cluster_queries.CLUSTER)):
            raise FolderError("METERHOUSE_CLUSTER_URL: there is no cluster in this database")
        return str(found[0][0])

    def arrival(self) -> Arrival | None:
        """How far the move of a server into the cluster is; None when there was none."""
        [[told]] = self._session.rows(cluster_queries.ARRIVAL)
        return decode_arrival(told)

    def change_arrival(self, before: Arrival | None, after: Arrival | None) -> None:
        """Writes how far it is. Raises `FolderError` when it was not where this process left it: another one goes on
        with it."""
        change = {"before": encode_arrival(before), "arrival": encode_arrival(after)}
        if not self._session.rows(cluster_queries.CHANGE_ARRIVAL, change):
            raise FolderError("another process moves a server into this cluster at the same time")

    def has_events(self) -> bool:
        """Whether any shard has had events."""
        states = [decode_state(state) for _, state in self._session.rows(cluster_queries.MANIFESTS)]
        return any(state.commit or state.events for state in states) or bool(
            self._session.rows(cluster_queries.JOURNALED)
        )

    def stay(self) -> None:
        """Tells the others that this node is there."""
        self._session.rows(cluster_queries.SEEN, {"node": self.node, "ahead_ms": self._ahead_ms})

    def leave(self) -> None:
        """Tells the others that this node is gone."""
        self._session.rows(cluster_queries.LEAVE, {"node": self.node})

    def nodes(self) -> dict[str, int]:
        """The nodes that were seen within the time of a lease, each with how many milliseconds its clock was ahead when
        it joined."""
        return dict(self._session.rows(cluster_queries.NODES, {"seconds": self._seconds}))

    def holders(self) -> dict[int, Holder]:
        """Who has each shard that anybody has ever had."""
        return {shard: Holder(*told) for shard, *told in self._session.rows(cluster_queries.LEASES)}

    def members(self) -> Members:
        """Both, for people."""
        return Members(self.nodes(), {shard: each.node for shard, each in self.holders().items() if each.holds})

    def ended(self, shard: int) -> None:
        """Tells the others that this node's process of a shard has ended: they need not wait for its lease to end."""
        self._session.rows(cluster_queries.RELEASE_OF_NODE, {"shard": shard, "node": self.node})


def _refuse_others(before: Mapping[str, str], agreed: Mapping[str, str], others: list[str]) -> None:
    differ = sorted(name for name in {*before, *agreed} if before.get(name) != agreed.get(name))
    if differ and others:
        raise FolderError(
            f"this node cannot join the cluster: it has another {', '.join(differ)} than {', '.join(others)}"
            + (f" (version {agreed['version']}, and they have {before['version']})" if "version" in differ else "")
            + "; give it the same, or stop all nodes first"
        )
    if before.get("shards") != agreed.get("shards"):
        raise FolderError(
            f"the cluster has {before.get('shards')} shards, and METERHOUSE_CLICKHOUSE_URLS names "
            f"{agreed.get('shards')}: name one URL for each shard; another number needs another cluster"
        )

"""Where a process stands: on a data folder, on one of a folder's shards, or on a shard of a cluster."""

from __future__ import annotations

import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .cluster.addresses import Addresses, Holders, Sockets
from .ports.members import Members
from .settings import Settings
from .storage.folder import DataFolder, ledger_in, shard_folder
from .storage.opening import FolderGround, Ground


@dataclass(frozen=True, slots=True)
class Place:
    """Which of several shards a process has."""

    shard: int
    sockets: Path | None
    """Where the sockets of all are, when they are on one machine; None in a cluster."""
    lost: Callable[[], None]
    """Is called when another process has the shard."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What a process stands on, and how it reaches the others."""

    ground: Ground
    addresses: Addresses | None
    """None where there is one process."""
    holds: Callable[[], bool] | None
    """Whether what this process knows is all that there is; None where nobody else can have its shard."""
    members: Callable[[], Members] | None
    """The nodes of the cluster."""


def stand(settings: Settings, place: Place | None) -> Standing:
    """Takes what the settings name. Raises `FolderError`."""
    if place is None:
        return Standing(FolderGround(DataFolder(settings.data), settings.ledger_url), None, None, None)
    if place.sockets is not None:
        folder = DataFolder(shard_folder(settings.data, place.shard))
        ledger_url = settings.ledger_url or ledger_in(settings.data)
        return Standing(FolderGround(folder, ledger_url, place.shard), Sockets(place.sockets), None, None)
    return _stand_in_cluster(settings, place)


def _stand_in_cluster(settings: Settings, place: Place) -> Standing:
    from .storage.postgresql.ground import ClusterGround, ShardOfNode  # noqa: PLC0415 - only a cluster has psycopg

    assert settings.cluster_url is not None  # its nodes have one
    ground = ClusterGround(
        ShardOfNode(
            place.shard,
            settings.cluster_url,
            settings.clickhouse_urls[place.shard],
            settings.clickhouse_cluster,
            node_name(settings),
            f"http://{node_host(settings)}:{settings.node_port + place.shard}",
            settings.lease_seconds,
            settings.data / "cache" / str(place.shard),
            place.lost,
        )
    )
    return Standing(ground, Holders(ground.membership), ground.lease.holds, ground.membership.members)


def node_host(settings: Settings) -> str:
    """Under which name or address other nodes reach this one."""
    return settings.node_host or socket.gethostname()


def node_name(settings: Settings) -> str:
    """What no other node of the cluster is called."""
    return f"{node_host(settings)}:{settings.node_port}"

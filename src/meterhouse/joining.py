"""Joining a cluster: what a node brings along must be what the others run with."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from .clocks import SystemClock
from .domain.errors import FolderError
from .domain.shards import ShardMap
from .settings import Settings
from .standing import node_name

if TYPE_CHECKING:
    from .storage.postgresql.membership import Membership as Membership  # noqa: PLC0414 - for the node


@contextmanager
def joined(settings: Settings, version: str, name: str = "") -> Iterator[Membership]:
    """This node as a member of its cluster, which is founded when there is none; under another `name` where it is no
    node. Raises `FolderError` when it cannot join."""
    if settings.cluster_url is None or not settings.clickhouse_urls or settings.admin_key is None:
        raise FolderError(
            "a node of a cluster needs METERHOUSE_CLUSTER_URL, METERHOUSE_CLICKHOUSE_URLS and METERHOUSE_ADMIN_KEY"
        )
    if settings.ledger_url is not None or settings.shards is not None:
        raise FolderError(
            "a cluster has its ledger in METERHOUSE_CLUSTER_URL, and a shard for each of METERHOUSE_CLICKHOUSE_URLS: "
            "leave METERHOUSE_LEDGER_URL and METERHOUSE_SHARDS out"
        )
    try:
        from .storage.ledger.shared_ledger import SharedLedger  # noqa: PLC0415 - see `target`
        from .storage.postgresql.membership import Membership  # noqa: PLC0415 - only a cluster has psycopg
        from .storage.postgresql.session import Session, check_url  # noqa: PLC0415 - the same
    except ModuleNotFoundError as missing:
        raise FolderError(f"a cluster needs {missing.name}: pip install 'meterhouse[cluster]'") from None

    check_url(settings.cluster_url)
    with closing(Session(settings.cluster_url)) as session:
        membership = Membership(session, name or node_name(settings), settings.lease_seconds)
        with closing(SharedLedger.open(settings.cluster_url)) as ledger:
            if ledger.turn() is not None:
                raise FolderError(
                    "METERHOUSE_CLUSTER_URL is the ledger of a data folder: name another database, and bring the "
                    "folder's events and accounts there with `meterhouse migrate`"
                )
            membership.join(secrets.token_hex(8), agreed(settings, version), SystemClock().now())
            if ledger.shard_map().count != len(settings.clickhouse_urls):
                ledger.set_shard_map(ShardMap.even(len(settings.clickhouse_urls)))
        yield membership


def agreed(settings: Settings, version: str) -> dict[str, str]:
    """What all nodes of a cluster must run with alike, by the names of the settings; secrets and files as digests."""
    places = [url.rpartition("@")[2] for url in settings.clickhouse_urls]
    catalogs = [path.read_bytes() for path in settings.catalogs]
    options = sorted(settings.contract_options.items())
    return {
        "version": version,
        "shards": str(len(places)),
        "METERHOUSE_CLICKHOUSE_URLS": " ".join(places),
        "METERHOUSE_CLICKHOUSE_CLUSTER": settings.clickhouse_cluster or "",
        "METERHOUSE_LEASE_SECONDS": str(settings.lease_seconds),
        "METERHOUSE_ADMIN_KEY": _digest((settings.admin_key or "").encode()),
        "METERHOUSE_CATALOGS": _digest(*catalogs) if catalogs else "built in",
        "METERHOUSE_PURGE_AFTER_DAYS": str(settings.purge_after_days),
        "METERHOUSE_RETENTION_DAYS": str(sorted(settings.retention_days.items())),
        "METERHOUSE_NOW": str(settings.now or ""),
        "options of contracts": _digest(*(f"{name}={text}".encode() for name, text in options)),
    }


def _digest(*contents: bytes) -> str:
    whole = hashlib.sha256()
    for content in contents:
        whole.update(len(content).to_bytes(8, "big") + content)
    return whole.hexdigest()[:16]

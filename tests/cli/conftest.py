"""What tests of commands share."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

import psycopg
import pytest

from support.clusters import postgresql
from support.server import Server

_numbers = count(1)


@pytest.fixture
def org(server: Server) -> str:
    return server.organization("unsiloed")


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """A running PostgreSQL: the URI of a database to make others from."""
    with postgresql() as started:
        yield started.uri


@pytest.fixture
def database(postgresql_server: str) -> Iterator[str]:
    """An empty database."""
    name = f"source_{next(_numbers)}"
    with psycopg.connect(postgresql_server, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
        base, _, options = postgresql_server.partition("?")
        yield f"{base.rpartition('/')[0]}/{name}?{options}"
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())

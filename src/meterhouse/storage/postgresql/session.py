"""A connection to the cluster's database."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import psycopg
from sqlalchemy.engine import make_url

from ...domain.errors import FolderError, Unavailable
from ..clickhouse.engine.engine import EngineError
from .options import OPTIONS


class DatabaseUnavailable(EngineError, Unavailable):
    """The cluster's database does not answer."""


class Session:
    """One connection, made anew after it broke. May be used from many threads; one statement at a time."""

    def __init__(self, url: str):
        """`url` is one of SQLAlchemy's, `postgresql+psycopg://…`; it is connected to when it is first used."""
        self._conninfo = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
        self._connection: psycopg.Connection[tuple[Any, ...]] | None = None
        self._lock = threading.Lock()

    def rows(self, sql: str, parameters: Mapping[str, Any] | None = None) -> list[tuple[Any, ...]]:
        """What a statement answers. Raises `DatabaseUnavailable`: it may have been done all the same."""
        with self._lock, self._connected() as connection:
            cursor = connection.execute(sql.encode(), parameters)
            return cursor.fetchall() if cursor.description is not None else []

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        """Several statements, all or none of them. Raises the same."""
        with self._lock, self._connected() as connection, connection.transaction():
            yield connection

    def close(self) -> None:
        """Ends the connection."""
        with self._lock:
            self._drop()

    @contextmanager
    def _connected(self) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
        try:
            if self._connection is None:
                self._connection = psycopg.connect(self._conninfo, autocommit=True, **OPTIONS)
            yield self._connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as failure:
            self._drop()
            reason = " ".join(str(failure).split())
            raise DatabaseUnavailable(f"the cluster's database does not answer: {reason}") from failure

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def check_url(url: str) -> None:
    """Raises `FolderError` unless it names a PostgreSQL."""
    try:
        known = make_url(url).drivername == "postgresql+psycopg"
    except ValueError:
        known = False
    if not known:
        raise FolderError("METERHOUSE_CLUSTER_URL must be postgresql+psycopg://user:password@host/database")

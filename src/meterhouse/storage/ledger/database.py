"""A ledger's database, SQLite or PostgreSQL: how it is opened, read and changed."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Select, Table, create_engine, event, insert, make_url, select
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import OperationalError

from ...domain.errors import InsufficientStorage, NotFound, StorageDamaged, Unavailable
from ...ports.audit_log import acting
from ..postgresql.options import OPTIONS
from .cache import Changes
from .tables import audit_log

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

_PLACES = 1 << 16
_PATIENCE_S = 10

R = TypeVar("R")


def _insert_postgresql(table: Table) -> postgresql.Insert:
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - a tenth of a second that SQLite does without

    return postgresql.insert(table)


_INSERTS: dict[str, Callable[[Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": _insert_postgresql,
}


def query_of(table: Table, record: type[Any]) -> Select[Any]:
    """Selects the columns of a record."""
    return select(*(table.c[field.name] for field in fields(record)))


def values_of(record: Any) -> dict[str, Any]:
    """The columns of a record."""
    return {field.name: getattr(record, field.name) for field in fields(record)}


class Database:
    """A database that this process alone writes to: what it has read, it remembers."""

    def __init__(self, url: str | URL):
        """Takes the database at an SQLAlchemy URL, its tables as they are."""
        of_server = make_url(url).get_backend_name() == "postgresql"
        self._engine = create_engine(url, pool_pre_ping=True, connect_args=OPTIONS if of_server else {})
        if of_server:
            event.listen(self._engine, "handle_error", _translate_postgresql)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "handle_error", _translate_sqlite)
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._changes = Changes(_PLACES)

    def _changing(self) -> AbstractContextManager[Connection]:
        """A transaction that reads before it writes: others of SQLite wait from its beginning, where otherwise its
        first write would fail after another's."""
        return self._engine.execution_options(sqlite_begin="IMMEDIATE").begin()

    def _insert(self, table: Table) -> sqlite.Insert | postgresql.Insert:
        """An insert that may say what becomes of a row that is there already."""
        return _INSERTS[self._engine.dialect.name](table)

    def _add(self, connection: Connection, table: Table, row: dict[str, Any]) -> bool:
        """Inserts a row unless there is one with its `id`; whether there was none."""
        added = self._insert(table).values(row).on_conflict_do_nothing().returning(table.c.id)
        return connection.scalar(added) is not None

    def _record(
        self, connection: Connection, *, namespace: str | None = None, organization: str | None = None, **about: str
    ) -> None:
        """Has what a transaction changes in the audit log, when a request makes it: in the same transaction."""
        act = acting.get()
        if act is not None:
            row = values_of(act) | {"namespace": namespace, "organization": organization, "about": about}
            connection.execute(insert(audit_log).values(row))

    def _read(self, record: Callable[..., R], query: Select[Any]) -> list[R]:
        with self._engine.connect() as connection:
            return [record(**row) for row in connection.execute(query).mappings()]

    def _read_one(self, record: Callable[..., R], query: Select[Any]) -> R | None:
        return next(iter(self._read(record, query)), None)


def no_organization(organization_id: str) -> NotFound:
    """The error for an organization that is not there."""
    return NotFound(f"there is no organization {organization_id!r}: create it first")


def _prepare_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    for pragma in (f"busy_timeout={_PATIENCE_S * 1000}", "synchronous=FULL", "foreign_keys=ON"):
        connection.execute(f"PRAGMA {pragma}").close()
    patient_until = time.monotonic() + _PATIENCE_S
    while not _switched_to_wal(connection):
        if time.monotonic() > patient_until:
            raise sqlite3.OperationalError("another process keeps the file locked")
        time.sleep(0.01)


def _translate_sqlite(context: ExceptionContext) -> None:
    """What the operator has to see to, and no fault of a request."""
    code = getattr(context.original_exception, "sqlite_errorcode", 0) & 0xFF  # the rest of it tells details
    if code == sqlite3.SQLITE_FULL:
        raise InsufficientStorage("the disk is full: the ledger cannot be written") from context.original_exception
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        raise StorageDamaged(f"the ledger is damaged: {context.original_exception}") from context.original_exception


def _translate_postgresql(context: ExceptionContext) -> None:
    """A database that does not answer is no fault of a request either."""
    if isinstance(context.sqlalchemy_exception, OperationalError) and not context.is_pre_ping:
        reason = " ".join(str(context.original_exception).split())
        raise Unavailable(f"the ledger's database does not answer: {reason}") from context.original_exception


def _switched_to_wal(connection: sqlite3.Connection) -> bool:
    """False while others use a new file: for this switch, the first one only, SQLite itself does not wait."""
    try:
        connection.execute("PRAGMA journal_mode=WAL").close()
    except sqlite3.OperationalError as wrong:
        if wrong.sqlite_errorcode == sqlite3.SQLITE_BUSY:
            return False
        raise
    return True


def _begin_sqlite(connection: Connection) -> None:
    # The driver itself would begin only before the first change: too late for CREATE TABLE.
    mode = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {mode}")

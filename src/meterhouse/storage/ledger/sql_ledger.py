"""The `Ledger` port on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Set
from contextlib import ExitStack, closing
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import URL, Connection, Select, Table, case, create_engine, event, insert, or_, select, update
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import ExceptionContext, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, IntegrityError

from ...domain.errors import AlreadyExists, FolderError, InsufficientStorage, NotFound, StorageDamaged
from ...domain.organization import Key, Organization
from ...domain.plan import Subscription
from ..reserved_space import ReservedSpace
from .cache import Changes, ReadCache
from .migrations import migrate
from .tables import keys, organizations, request_counts, secrets, subscriptions, turns

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql

_CACHED = 10_000
_ALL = ""
"""What stands for every organization in a cache of one value."""
_PLACES = 1 << 16
_PATIENCE_S = 10


def _insert_postgresql(table: Table) -> postgresql.Insert:
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415 - a tenth of a second that SQLite does without

    return postgresql.insert(table)


_INSERT: dict[str, Callable[[Table], sqlite.Insert | postgresql.Insert]] = {
    "sqlite": sqlite.insert,
    "postgresql": _insert_postgresql,
}

R = TypeVar("R")


def _query(table: Table, record: type[Any]) -> Select[Any]:
    return select(*(table.c[field.name] for field in fields(record)))


def _values(record: Any) -> dict[str, Any]:
    return {field.name: getattr(record, field.name) for field in fields(record)}


_ORGANIZATIONS = _query(organizations, Organization)
_KEYS = _query(keys, Key)
_SUBSCRIPTIONS = _query(subscriptions, Subscription)


class SqlLedger:
    """A `Ledger` in a database that this process alone writes to: what it has read, it remembers."""

    def __init__(self, url: str | URL, reserved: ReservedSpace | None = None):
        """Takes the ledger at an SQLAlchemy URL, `sqlite:///…` or `postgresql+psycopg://…`, its tables as they are.
        `reserved` is given up when the disk is full and a key has to be revoked."""
        self._reserved = reserved
        self._engine = create_engine(url, pool_pre_ping=True)
        if self._engine.dialect.name == "sqlite":
            event.listen(self._engine, "handle_error", _translate_sqlite)
            event.listen(self._engine, "connect", _prepare_sqlite)
            event.listen(self._engine, "begin", _begin_sqlite)
        self._organizations: ReadCache[Organization] = ReadCache(_CACHED)
        self._keys: ReadCache[Key] = ReadCache(_CACHED)
        self._subscriptions: ReadCache[Subscription] = ReadCache(_CACHED)
        self._deleted: ReadCache[frozenset[tuple[str, str]]] = ReadCache(1)
        self._changes = Changes(_PLACES)

    @classmethod
    def open(cls, url: str | URL, reserved: ReservedSpace | None = None) -> SqlLedger:
        """The ledger at the URL, its tables created or migrated.

        Raises `FolderError` when the database cannot be opened, or was written by a newer version.
        """
        try:
            address = make_url(url)
            if address.get_backend_name() not in _INSERT:
                raise FolderError(f"the ledger {address} must be sqlite:///… or postgresql+psycopg://…")
            ledger = cls(address, reserved)
        except (ArgumentError, ValueError):  # the latter for a port that is no number
            raise FolderError("the ledger's URL is not one: write sqlite:///… or postgresql+psycopg://…") from None
        except ModuleNotFoundError as missing:
            raise FolderError(f"{address} needs {missing.name}: pip install 'meterhouse[postgresql]'") from None
        with ExitStack() as on_failure:
            on_failure.callback(ledger.close)
            try:
                ledger._check()
                migrate(ledger._engine)
            except InsufficientStorage as wrong:
                raise FolderError(f"the ledger {ledger._engine.url} cannot be opened: {wrong}") from wrong
            except StorageDamaged as wrong:
                raise FolderError(
                    f"the ledger {ledger._engine.url} is damaged: {wrong}; restore a backup, or see what "
                    "`meterhouse repair` can keep"
                ) from wrong
            except DBAPIError as wrong:
                raise FolderError(
                    f"the ledger {ledger._engine.url} cannot be opened: {str(wrong.orig).strip()}; "
                    "check that it is there and that this user may write to it"
                ) from wrong
            on_failure.pop_all()
        return ledger

    def add_organization(self, organization: Organization) -> None:
        """See `Ledger.add_organization`."""
        try:
            with self._changes.changing(organization.id), self._engine.begin() as connection:
                connection.execute(insert(organizations).values(_values(organization)))
        except IntegrityError:
            raise AlreadyExists(
                f"organization id {organization.id!r} is taken (a deleted organization keeps its id): choose another"
            ) from None

    def organization(self, organization_id: str) -> Organization | None:
        """See `Ledger.organization`."""
        return self._organizations.get(
            organization_id,
            lambda: self._read_one(Organization, _ORGANIZATIONS.where(organizations.c.id == organization_id)),
        )

    def organizations(self) -> list[Organization]:
        """See `Ledger.organizations`."""
        found = self._read(Organization, _ORGANIZATIONS.where(organizations.c.deleted_at.is_(None)))
        return sorted(found, key=lambda organization: organization.id)  # databases differ in how they sort text

    def delete_organization(self, organization_id: str, at: datetime) -> None:
        """See `Ledger.delete_organization`."""
        change = (
            update(organizations)
            .where(organizations.c.id == organization_id, organizations.c.deleted_at.is_(None))
            .values(deleted_at=at)
        )
        with (
            self._changes.changing(organization_id),
            self._organizations.changing(organization_id),
            self._deleted.changing(_ALL),
            self._engine.begin() as connection,
        ):
            deleted = connection.execute(change).rowcount
        if not deleted:
            raise NotFound(f"there is no organization {organization_id!r}, or it is deleted already: check the id")

    def restore_organization(self, organization_id: str, deleted_after: datetime | None) -> None:
        """See `Ledger.restore_organization`."""
        deleted_at = organizations.c.deleted_at
        deleted = (
            deleted_at.is_not(None) if deleted_after is None else deleted_at > deleted_after,
            organizations.c.purged_at.is_(None),
        )
        change = update(organizations).where(organizations.c.id == organization_id, *deleted).values(deleted_at=None)
        with (
            self._changes.changing(organization_id),
            self._organizations.changing(organization_id),
            self._deleted.changing(_ALL),
            self._engine.begin() as connection,
        ):
            restored = connection.execute(change).rowcount
        if not restored:
            raise NotFound(f"there is no deleted organization {organization_id[:128]!r} whose events are still stored")

    def deleted(self) -> Set[tuple[str, str]]:
        """See `Ledger.deleted`."""

        def read() -> frozenset[tuple[str, str]]:
            found = self._read(Organization, _ORGANIZATIONS.where(organizations.c.deleted_at.is_not(None)))
            return frozenset((organization.namespace, organization.id) for organization in found)

        return self._deleted.get(_ALL, read) or frozenset()

    def purgeable(self, deleted_until: datetime) -> list[Organization]:
        """See `Ledger.purgeable`."""
        due = organizations.c.deleted_at <= deleted_until
        found = self._read(Organization, _ORGANIZATIONS.where(due, organizations.c.purged_at.is_(None)))
        return sorted(found, key=lambda organization: organization.id)

    def mark_purged(self, organization_id: str, at: datetime) -> None:
        """See `Ledger.mark_purged`."""
        with self._engine.begin() as connection:
            connection.execute(update(organizations).where(organizations.c.id == organization_id).values(purged_at=at))

    def put_subscription(self, organization_id: str, subscription: Subscription) -> None:
        """See `Ledger.put_subscription`."""
        values = _values(subscription)
        new = _INSERT[self._engine.dialect.name](subscriptions).values(organization=organization_id, **values)
        change = new.on_conflict_do_update(index_elements=["organization"], set_=values)
        try:
            with (
                self._changes.changing(organization_id),
                self._subscriptions.changing(organization_id),
                self._engine.begin() as connection,
            ):
                connection.execute(change)
        except IntegrityError:
            raise _no_organization(organization_id) from None

    def subscription(self, organization_id: str) -> Subscription | None:
        """See `Ledger.subscription`."""
        return self._subscriptions.get(
            organization_id,
            lambda: self._read_one(Subscription, _SUBSCRIPTIONS.where(subscriptions.c.organization == organization_id)),
        )

    def add_key(self, key: Key) -> None:
        """See `Ledger.add_key`. Raises `NotFound` without the organization, `AlreadyExists` for an id or hash taken."""
        try:
            with self._changes.changing(key.organization), self._engine.begin() as connection:
                connection.execute(insert(keys).values(_values(key)))
        except IntegrityError:
            if self.organization(key.organization) is None:
                raise _no_organization(key.organization) from None
            raise AlreadyExists(f"key id {key.id!r} or its secret is taken: make a new key") from None

    def key_by_hash(self, secret_hash: str) -> Key | None:
        """See `Ledger.key_by_hash`."""
        return self._keys.get(secret_hash, lambda: self._read_one(Key, _KEYS.where(keys.c.secret_hash == secret_hash)))

    def keys(self, organization_id: str) -> list[Key]:
        """See `Ledger.keys`."""
        mine = _KEYS.where(keys.c.organization == organization_id)
        return self._read(Key, mine.order_by(keys.c.created_at, keys.c.number))

    def rename_key_user(self, organization_id: str, user_id: str, name: str) -> int:
        """See `Ledger.rename_key_user`."""
        change = (
            update(keys)
            .where(keys.c.organization == organization_id, keys.c.user_id == user_id)
            .values(user_id=name)
            .returning(keys.c.secret_hash)
        )
        with (
            self._changes.changing(organization_id),
            ExitStack() as after_commit,
            self._engine.begin() as connection,
        ):
            renamed = list(connection.scalars(change))
            for secret_hash in renamed:
                after_commit.enter_context(self._keys.changing(secret_hash))
        return len(renamed)

    def revoke_key(self, organization_id: str, key_id: str, at: datetime) -> None:
        """See `Ledger.revoke_key`."""
        try:
            self._revoke_key(organization_id, key_id, at)
        except InsufficientStorage:
            if self._reserved is None or not self._reserved.give():
                raise
            self._revoke_key(organization_id, key_id, at)

    def _revoke_key(self, organization_id: str, key_id: str, at: datetime) -> None:
        change = (
            update(keys)
            .where(keys.c.organization == organization_id, keys.c.id == key_id, keys.c.revoked_at.is_(None))
            .values(revoked_at=at)
            .returning(keys.c.secret_hash)
        )
        with (
            self._changes.changing(organization_id),
            ExitStack() as after_commit,
            self._engine.begin() as connection,
        ):
            secret_hash = connection.scalar(change)
            if secret_hash is None:
                raise NotFound(
                    f"organization {organization_id!r} has no key {key_id!r}, or it is revoked already: "
                    "check the id in its list of keys"
                )
            after_commit.enter_context(self._keys.changing(secret_hash))

    def changes(self) -> int:
        """See `Ledger.changes`."""
        return self._changes.newest()

    def changed(self, organization_id: str) -> int:
        """See `Ledger.changed`."""
        return self._changes.newest_of(organization_id)

    def requests(self, organization_id: str, hour: datetime) -> int:
        """See `Ledger.requests`."""
        counted = select(request_counts.c.requests).where(
            request_counts.c.organization == organization_id, request_counts.c.hour == hour
        )
        with self._engine.connect() as connection:
            return connection.scalar(counted) or 0

    def count_request(self, organization_id: str, hour: datetime, limit: int) -> int | None:
        """See `Ledger.count_request`. Raises `NotFound` without the organization."""
        new = _INSERT[self._engine.dialect.name](request_counts).values(
            organization=organization_id, hour=hour, requests=1
        )
        other_hour = request_counts.c.hour != hour
        change = new.on_conflict_do_update(
            index_elements=["organization"],
            set_={"hour": hour, "requests": case((other_hour, 1), else_=request_counts.c.requests + 1)},
            where=or_(other_hour, request_counts.c.requests < limit),
        ).returning(request_counts.c.requests)
        try:
            with self._engine.begin() as connection:
                counted: int | None = connection.scalar(change)
                return counted
        except IntegrityError:
            raise _no_organization(organization_id) from None

    def secret(self, name: str, candidate: bytes) -> bytes:
        """See `Ledger.secret`."""
        new = _INSERT[self._engine.dialect.name](secrets).values(name=name, secret=candidate)
        kept = select(secrets.c.secret).where(secrets.c.name == name)
        with self._engine.begin() as connection:
            connection.execute(new.on_conflict_do_nothing())
            return bytes(connection.execute(kept).scalar_one())

    def turn(self) -> int | None:
        """The turn of the data folder that the ledger belongs to; None when it has never belonged to one."""
        with self._engine.connect() as connection:
            found: int | None = connection.scalar(select(turns.c.turn))
            return found

    def set_turn(self, turn: int) -> None:
        """Belongs to that turn; on the disk when it returns."""
        new = _INSERT[self._engine.dialect.name](turns).values(number=1, turn=turn)
        change = new.on_conflict_do_update(index_elements=["number"], set_={"turn": turn})
        with self._engine.begin() as connection:
            connection.execute(change)

    def _check(self) -> None:
        """Raises `StorageDamaged` for a file that is."""
        if self._engine.dialect.name == "sqlite":
            with self._engine.connect() as connection:
                found = connection.exec_driver_sql("PRAGMA integrity_check(1)").scalar()
            if found != "ok":
                raise StorageDamaged(" ".join(str(found).split()))

    def ping(self) -> None:
        """See `Ledger.ping`."""
        with self._engine.connect() as connection:
            connection.execute(select(organizations.c.id).limit(1))  # SQLite answers SELECT 1 without its file

    def copy_into(self, path: Path) -> bool:
        """Writes all of it, as of one moment, into a new file; answers False, writing nothing, where a database server
        keeps it, which has backups of its own. Raises `OSError`."""
        if self._engine.dialect.name != "sqlite":
            return False
        with closing(self._engine.raw_connection()) as connection:
            try:
                connection.cursor().execute("VACUUM INTO ?", (str(path),))
            except sqlite3.OperationalError as wrong:
                raise OSError(f"the ledger cannot be copied to {path}: {wrong}") from wrong
        return True

    def close(self) -> None:
        """See `Ledger.close`."""
        self._engine.dispose()

    def _read(self, record: Callable[..., R], query: Select[Any]) -> list[R]:
        with self._engine.connect() as connection:
            return [record(**row) for row in connection.execute(query).mappings()]

    def _read_one(self, record: Callable[..., R], query: Select[Any]) -> R | None:
        return next(iter(self._read(record, query)), None)


def _no_organization(organization_id: str) -> NotFound:
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

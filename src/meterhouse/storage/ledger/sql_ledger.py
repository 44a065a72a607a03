"""The `Ledger` port on SQLite and PostgreSQL."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import ExitStack, closing
from pathlib import Path

from sqlalchemy import URL, Connection, delete, select
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from ...domain.errors import FolderError, InsufficientStorage, StorageDamaged, Unavailable
from ...domain.shards import VIRTUAL_SHARDS, ShardMap
from ...ports.chunks import Chunks
from ..reserved_space import ReservedSpace
from . import contents
from .alerts import SqlAlerts
from .audit_log import SqlAuditLog
from .contract_records import SqlContractRecords
from .ended_sessions import SqlEndedSessions
from .migrations import migrate
from .operator_keys import SqlOperatorKeys
from .request_counts import SqlRequestCounts
from .tables import evaluated, organizations, secrets, shards, turns

_BACKENDS = ("sqlite", "postgresql")


class SqlLedger(SqlOperatorKeys, SqlAlerts, SqlAuditLog, SqlContractRecords, SqlRequestCounts, SqlEndedSessions):
    """A `Ledger` in one database, `sqlite:///…` or `postgresql+psycopg://…`."""

    @classmethod
    def open(cls, url: str | URL, reserved: ReservedSpace | None = None) -> SqlLedger:
        """The ledger at the URL, its tables created or migrated.

        Raises `FolderError` when the database cannot be opened, or was written by a newer version.
        """
        try:
            address = make_url(url)
            if address.get_backend_name() not in _BACKENDS:
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
            except Unavailable as wrong:
                raise FolderError(
                    f"the ledger {ledger._engine.url} cannot be opened: {wrong}; check that it is there and that this "
                    "user may write to it"
                ) from wrong
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

    def changes(self) -> int:
        """See `Ledger.changes`."""
        return self._changes.newest()

    def changed(self, organization_id: str) -> int:
        """See `Ledger.changed`."""
        return self._changes.newest_of(organization_id)

    def secret(self, name: str, candidate: bytes) -> bytes:
        """See `Ledger.secret`."""
        new = self._insert(secrets).values(name=name, secret=candidate)
        kept = select(secrets.c.secret).where(secrets.c.name == name)
        with self._engine.begin() as connection:
            connection.execute(new.on_conflict_do_nothing())
            return bytes(connection.execute(kept).scalar_one())

    def turn(self, shard: int = 0) -> int | None:
        """The turn of the data folder, of that shard, that the ledger belongs to; None when it has never belonged to
        one."""
        with self._engine.connect() as connection:
            found: int | None = connection.scalar(select(turns.c.turn).where(turns.c.number == shard + 1))
            return found

    def set_turn(self, turn: int, shard: int = 0) -> None:
        """Belongs to that turn; on the disk when it returns."""
        new = self._insert(turns).values(number=shard + 1, turn=turn)
        change = new.on_conflict_do_update(index_elements=["number"], set_={"turn": turn})
        with self._engine.begin() as connection:
            connection.execute(change)

    def shard_map(self) -> ShardMap:
        """Which shard has each virtual shard: one has all of them until `set_shard_map` was called."""
        with self._engine.connect() as connection:
            found = {row.virtual: row.shard for row in connection.execute(select(shards))}
        return ShardMap(tuple(found[virtual] for virtual in range(VIRTUAL_SHARDS))) if found else ShardMap.even(1)

    def set_shard_map(self, shard_map: ShardMap) -> None:
        """Writes another map, and forgets all turns and evaluated commits, which were of other shards; on the disk when
        it returns."""
        rows = [{"virtual": virtual, "shard": shard} for virtual, shard in enumerate(shard_map.shards)]
        with self._engine.begin() as connection:
            connection.execute(delete(shards))
            connection.execute(delete(turns))
            connection.execute(delete(evaluated))
            if shard_map.count > 1:
                # Nodes that found a cluster at the same time write the same.
                connection.execute(self._insert(shards).on_conflict_do_nothing(), rows)

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

    def rows(self) -> Chunks:
        """See `contents.rows_of`."""
        return contents.rows_of(self._engine)

    def is_empty(self) -> bool:
        """Whether there is nothing but secrets, which every server makes."""
        with self._engine.connect() as connection:
            return contents.is_empty(connection)

    def replace(self, lines: Iterable[bytes], allowed: Callable[[Connection], None]) -> int:
        """Puts rows that `rows` gave in the place of all that there is, and answers how many; all of them, or none when
        `allowed`, which is asked in the same transaction, raises."""
        with self._engine.begin() as connection:
            allowed(connection)
            return contents.replace(connection, lines)

    def close(self) -> None:
        """See `Ledger.close`."""
        self._engine.dispose()

"""A ledger that other processes change as well."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Set
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from sqlalchemy import URL, select

from ...domain.grant import Grant
from ...domain.operator_key import OperatorKey
from ...domain.organization import Key, Organization
from ...domain.plan import Subscription
from ..postgresql.cluster_queries import NEWEST_CHANGE
from ..reserved_space import ReservedSpace
from .cache import ReadCache
from .sql_ledger import SqlLedger
from .tables import changes

if TYPE_CHECKING:
    from ..postgresql.session import Session


class SharedLedger(SqlLedger):
    """Before anything is answered from memory, it looks whether another process has changed what is remembered: an
    answer knows every change that was made before it was asked for."""

    def __init__(self, url: str | URL, reserved: ReservedSpace | None = None):
        super().__init__(url, reserved)
        self._caches: tuple[ReadCache[Any], ...] = (
            *(self._organizations, self._subscriptions, self._deleted),
            *(self._keys, self._grants, self._newest_catalogs, self._operator_keys),
        )
        self._looking = Lock()
        self._seen: int | None = None
        self._file: sqlite3.Connection | None = None
        self._file_version = -1
        self._session: Session | None = None
        if self._engine.dialect.name == "sqlite" and self._engine.url.database is not None:
            self._file = sqlite3.connect(Path(self._engine.url.database), check_same_thread=False)
        if self._engine.dialect.name == "postgresql":
            from ..postgresql.session import Session  # noqa: PLC0415 - only who has it installed

            self._session = Session(self._engine.url.render_as_string(hide_password=False))

    def organization(self, organization_id: str) -> Organization | None:
        """See `Ledger.organization`."""
        self._look()
        return super().organization(organization_id)

    def subscription(self, organization_id: str) -> Subscription | None:
        """See `Ledger.subscription`."""
        self._look()
        return super().subscription(organization_id)

    def deleted(self) -> Set[tuple[str, str]]:
        """See `Ledger.deleted`."""
        self._look()
        return super().deleted()

    def key_by_hash(self, secret_hash: str) -> Key | None:
        """See `Ledger.key_by_hash`."""
        self._look()
        return super().key_by_hash(secret_hash)

    def grants(self, organization_id: str) -> tuple[Grant, ...]:
        """See `Ledger.grants`."""
        self._look()
        return super().grants(organization_id)

    def operator_key_by_hash(self, secret_hash: str) -> OperatorKey | None:
        """See `Ledger.operator_key_by_hash`."""
        self._look()
        return super().operator_key_by_hash(secret_hash)

    def operator_keys(self) -> list[OperatorKey]:
        """See `Ledger.operator_keys`."""
        self._look()
        return super().operator_keys()

    def newest_catalogs(self) -> Mapping[str, int]:
        """See `Ledger.newest_catalogs`."""
        self._look()
        return super().newest_catalogs()

    def changes(self) -> int:
        """See `Ledger.changes`."""
        self._look()
        return super().changes()

    def changed(self, organization_id: str) -> int:
        """See `Ledger.changed`."""
        self._look()
        return super().changed(organization_id)

    def close(self) -> None:
        """See `Ledger.close`."""
        if self._file is not None:
            self._file.close()
        if self._session is not None:
            self._session.close()
        super().close()

    def _newest(self) -> int | None:
        """The number of the newest change, whoever made it."""
        if self._session is not None:  # on a connection of its own this takes a sixth of the time
            return next((change for [change] in self._session.rows(NEWEST_CHANGE)), None)
        with self._engine.connect() as connection:
            return connection.scalar(select(changes.c.change))

    def _look(self) -> None:
        with self._looking:
            if self._file is not None:
                # SQLite counts the transactions of others in memory: most looks end here.
                [version] = self._file.execute("PRAGMA data_version").fetchone()
                if version == self._file_version:
                    return
                self._file_version = version
            change = self._newest()
            if change == self._seen:
                return
            for cache in self._caches:
                cache.clear()
            self._changes.change_all()
            self._seen = change

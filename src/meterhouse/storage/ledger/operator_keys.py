"""Keys of the operator's people and programs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import URL, Connection, case, insert, literal, update

from ...domain.errors import NotFound
from ...domain.operator_key import OperatorKey
from ..reserved_space import ReservedSpace
from .cache import ReadCache
from .catalog_versions import SqlCatalogVersions
from .database import query_of, values_of
from .tables import operator_keys

_ALL = ""
"""What stands for every key in a cache of one value."""
_KEYS = query_of(operator_keys, OperatorKey)


class SqlOperatorKeys(SqlCatalogVersions):
    """See `ports.OperatorKeys`. They are few: all of them are remembered."""

    def __init__(self, url: str | URL, reserved: ReservedSpace | None = None):
        """See `SqlKeys`."""
        super().__init__(url, reserved)
        self._operator_keys: ReadCache[Mapping[str, OperatorKey]] = ReadCache(1)

    def add_operator_key(self, key: OperatorKey) -> None:
        """See `OperatorKeys.add_operator_key`."""
        with self._operator_keys.changing(_ALL), self._engine.begin() as connection:
            self._add_operator_key(connection, key)

    def replace_operator_key(self, key_id: str, key: OperatorKey, expires_at: datetime) -> None:
        """See `OperatorKeys.replace_operator_key`."""
        own, new = operator_keys.c.expires_at, literal(expires_at, operator_keys.c.expires_at.type)
        sooner = case((own < new, own), else_=new)  # it never lasts longer than it did
        with self._operator_keys.changing(_ALL), self._changing() as connection:
            self._end_operator_key(connection, key_id, expires_at=sooner)
            self._add_operator_key(connection, key)

    def operator_keys(self) -> list[OperatorKey]:
        """See `OperatorKeys.operator_keys`."""
        return [*self._all_operator_keys().values()]

    def operator_key_by_hash(self, secret_hash: str) -> OperatorKey | None:
        """See `OperatorKeys.operator_key_by_hash`."""
        return self._all_operator_keys().get(secret_hash)

    def revoke_operator_key(self, key_id: str, at: datetime) -> None:
        """See `OperatorKeys.revoke_operator_key`."""
        with self._operator_keys.changing(_ALL), self._changing() as connection:
            self._end_operator_key(connection, key_id, revoked_at=at)
            self._record(connection, operator_key=key_id)

    def _all_operator_keys(self) -> Mapping[str, OperatorKey]:
        def read() -> Mapping[str, OperatorKey]:
            found = self._read(OperatorKey, _KEYS.order_by(operator_keys.c.created_at, operator_keys.c.id))
            return {key.secret_hash: key for key in found}

        found = self._operator_keys.get(_ALL, read)
        assert found is not None  # there is a mapping, if an empty one
        return found

    def _add_operator_key(self, connection: Connection, key: OperatorKey) -> None:
        connection.execute(insert(operator_keys).values(values_of(key)))
        self._record(connection, namespace=key.namespace, operator_key=key.id, name=key.name, role=key.role)

    @staticmethod
    def _end_operator_key(connection: Connection, key_id: str, **values: object) -> None:
        of = operator_keys.c
        ended = update(operator_keys).where(of.id == key_id, of.revoked_at.is_(None)).values(values)
        if not connection.execute(ended).rowcount:
            raise NotFound(f"there is no operator key {key_id[:60]!r}, or it is revoked already: look at their list")

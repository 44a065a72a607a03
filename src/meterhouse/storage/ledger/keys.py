"""Keys of organizations."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import datetime

from sqlalchemy import URL, insert, update
from sqlalchemy.exc import IntegrityError

from ...domain.errors import AlreadyExists, InsufficientStorage, NotFound
from ...domain.organization import Key
from ..reserved_space import ReservedSpace
from .cache import ReadCache
from .database import no_organization, query_of, values_of
from .organizations import SqlOrganizations
from .tables import keys

_CACHED = 10_000
_KEYS = query_of(keys, Key)


class SqlKeys(SqlOrganizations):
    """See `ports.Keys`."""

    def __init__(self, url: str | URL, reserved: ReservedSpace | None = None):
        """`reserved` is given up when the disk is full and a key has to be revoked."""
        super().__init__(url)
        self._reserved = reserved
        self._keys: ReadCache[Key] = ReadCache(_CACHED)

    def add_key(self, key: Key) -> None:
        """See `Ledger.add_key`. Raises `NotFound` without the organization, `AlreadyExists` for an id or hash taken."""
        try:
            with self._changes.changing(key.organization), self._engine.begin() as connection:
                connection.execute(insert(keys).values(values_of(key)))
                self._record(connection, organization=key.organization, key=key.id)
        except IntegrityError:
            if self.organization(key.organization) is None:
                raise no_organization(key.organization) from None
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
            self._record(connection, organization=organization_id, key=key_id)
            after_commit.enter_context(self._keys.changing(secret_hash))

"""Who operates the server: the admin key, and named keys with roles."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..domain.errors import Invalid, NotFound
from ..domain.operator_key import OF_A_NAMESPACE, OPERATOR_KEYS, Operator, OperatorKey, Role
from ..domain.organization import check_name, hash_secret
from ..domain.period import format_instant
from ..ports.clock import Clock
from ..ports.operator_keys import OperatorKeys
from .catalogs import Catalogs

THE_ADMIN_KEY = Operator("the admin key", Role.ADMIN)
MOST_KEYS = 1_000
"""That are good for something at a time."""
LONGEST_OVERLAP = timedelta(days=30)
_SHOWN_SECRET_CHARACTERS = 6


@dataclass(frozen=True, slots=True)
class OperatorKeyDraft:
    """A key that is asked for."""

    name: str
    role: Role
    namespace: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Operators:
    """The use cases around operator keys."""

    keys: OperatorKeys
    catalogs: Catalogs
    clock: Clock
    random_bytes: Callable[[int], bytes]

    def resolve(self, secret: str) -> Operator | None:
        """Whose key a secret is, if it is a valid one."""
        if not OPERATOR_KEYS.matches(secret):
            return None
        key = self.keys.operator_key_by_hash(hash_secret(secret))
        return self._operator(key) if key is not None and key.valid_at(self.clock.now()) else None

    def of_key(self, key_id: str) -> Operator | None:
        """Whose key it is, as long as it is a valid one."""
        now = self.clock.now()
        valid = (key for key in self.keys.operator_keys() if key.id == key_id and key.valid_at(now))
        return next(map(self._operator, valid), None)

    def create(self, draft: OperatorKeyDraft, created_by: str) -> tuple[OperatorKey, str]:
        """A new key and its secret, which is nowhere else. Raises `Invalid`, and `NotFound` for the namespace."""
        check_name(draft.name, "name")
        now = self.clock.now()
        if draft.expires_at is not None and draft.expires_at <= now:
            raise Invalid(f"expires_at {format_instant(draft.expires_at)} is not after now, {format_instant(now)}")
        if (draft.role in OF_A_NAMESPACE) != (draft.namespace is not None):
            raise Invalid(
                "namespace: a key with the role ingest or namespace is for one namespace, and no other key is for one"
            )
        if draft.namespace is not None:
            self.catalogs.get(draft.namespace)
        if sum(key.valid_at(now) for key in self.keys.operator_keys()) >= MOST_KEYS:
            raise Invalid(f"there are {MOST_KEYS:,} operator keys: revoke some")
        key, secret = self._minted(draft, created_by, now)
        self.keys.add_operator_key(key)
        return key, secret

    def listed(self) -> list[OperatorKey]:
        """All keys, the oldest first, those that have ended included."""
        return self.keys.operator_keys()

    def rotate(self, key_id: str, overlap: timedelta, created_by: str) -> tuple[OperatorKey, str]:
        """A key of the same name and role in the place of one, which is good for the overlap and no longer. Raises
        `NotFound`, and `Invalid` for one that has expired."""
        if not timedelta() <= overlap <= LONGEST_OVERLAP:
            raise Invalid(f"overlap_seconds must be 0 to {LONGEST_OVERLAP // timedelta(seconds=1)}")
        before = next((key for key in self.keys.operator_keys() if key.id == key_id), None)
        if before is None:
            raise NotFound(f"there is no operator key {key_id[:60]!r}: look at their list")
        now = self.clock.now()
        if not before.valid_at(now):
            raise Invalid(f"the operator key {before.name!r} has ended: make a new one")
        draft = OperatorKeyDraft(before.name, before.role, before.namespace)
        key, secret = self._minted(draft, created_by, now)
        self.keys.replace_operator_key(key_id, key, now + overlap)
        return key, secret

    def revoke(self, key_id: str) -> None:
        """Ends a key at once. Raises `NotFound`."""
        self.keys.revoke_operator_key(key_id, self.clock.now())

    def _minted(self, draft: OperatorKeyDraft, created_by: str, now: datetime) -> tuple[OperatorKey, str]:
        secret = OPERATOR_KEYS.mint(self.random_bytes(64))
        key = OperatorKey(
            id=str(uuid.UUID(bytes=self.random_bytes(16), version=4)),
            name=draft.name,
            role=draft.role,
            namespace=draft.namespace,
            prefix=secret[: len(OPERATOR_KEYS.prefix) + _SHOWN_SECRET_CHARACTERS],
            secret_hash=hash_secret(secret),
            created_at=now,
            created_by=created_by,
            expires_at=draft.expires_at,
        )
        return key, secret

    @staticmethod
    def _operator(key: OperatorKey) -> Operator:
        return Operator(key.name, key.role, key.namespace, key.id)

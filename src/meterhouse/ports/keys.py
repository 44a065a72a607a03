"""Keys of organizations."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from ..domain.organization import Key


class Keys(Protocol):
    """Every method is one transaction."""

    def add_key(self, key: Key) -> None:
        """Stores a key. Its organization exists; its id and hash are new."""
        ...

    def key_by_hash(self, secret_hash: str) -> Key | None:
        """The key of that hash, revoked and expired ones included."""
        ...

    def keys(self, organization_id: str) -> list[Key]:
        """The organization's keys, oldest first, revoked ones included."""
        ...

    def rename_key_user(self, organization_id: str, user_id: str, name: str) -> int:
        """Lets all keys that stand for a user of the organization stand for another name; answers how many."""
        ...

    def revoke_key(self, organization_id: str, key_id: str, at: datetime) -> None:
        """Revokes a key of that organization. Raises `NotFound` when it has no such key, or it is revoked already."""
        ...

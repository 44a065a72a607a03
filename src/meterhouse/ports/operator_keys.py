"""Keys of the operator's people and programs."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

from ..domain.operator_key import OperatorKey


class OperatorKeys(Protocol):
    """Every method is one transaction."""

    def add_operator_key(self, key: OperatorKey) -> None:
        """Adds a key."""
        ...

    def replace_operator_key(self, key_id: str, key: OperatorKey, expires_at: datetime) -> None:
        """Adds a key in the place of another, which is good until then and no longer. Raises `NotFound` for one that is
        unknown or revoked."""
        ...

    def operator_keys(self) -> list[OperatorKey]:
        """All of them, the oldest first, those that have ended included."""
        ...

    def operator_key_by_hash(self, secret_hash: str) -> OperatorKey | None:
        """The key with this secret, ended ones included. Mostly told from memory."""
        ...

    def revoke_operator_key(self, key_id: str, at: datetime) -> None:
        """Ends it. Raises `NotFound` for one that is unknown or revoked."""
        ...

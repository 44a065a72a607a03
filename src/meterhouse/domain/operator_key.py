"""Keys of the operator's people and programs, and what each of them may do."""

from __future__ import annotations

import string
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from .organization import KeyFormat

OPERATOR_KEYS = KeyFormat("mh_op_", string.digits + string.ascii_letters, 32)


class Role(StrEnum):
    """What a key may do."""

    READ = "read"
    """See everything but the audit log, backups and operator keys."""
    INGEST = "ingest"
    """Send the events of a namespace, and reserve and check for its organizations; nothing else."""
    NAMESPACE = "namespace"
    """Send the events of a namespace, read its usage and change what it has, by the contracts that speak for a whole
    namespace; of our own API what `INGEST` may."""
    OPERATE = "operate"
    """Read and ingest, and change organizations, their subscriptions, keys and grants, corrections, alerts and
    webhooks."""
    ADMIN = "admin"
    """Everything."""

    def may(self, needed: Role) -> bool:
        """Whether it includes another one."""
        return needed in _INCLUDED[self]


OF_A_NAMESPACE = frozenset({Role.INGEST, Role.NAMESPACE})
"""Roles whose keys are each for one namespace."""

_INCLUDED = {
    Role.READ: {Role.READ},
    Role.INGEST: {Role.INGEST},
    Role.NAMESPACE: {Role.INGEST, Role.NAMESPACE},
    Role.OPERATE: {Role.READ, Role.INGEST, Role.OPERATE},
    Role.ADMIN: set(Role),
}


@dataclass(frozen=True, slots=True)
class Operator:
    """Whoever has a key of the operator's."""

    name: str
    role: Role
    namespace: str | None = None
    """The only one whose events it may send; None: any."""
    key: str | None = None
    """The id of its key; None: the admin key."""

    def may_ingest(self, namespace: str) -> bool:
        """Whether it may send events of a namespace."""
        return self.namespace in (None, namespace)


@dataclass(frozen=True, slots=True)
class OperatorKey:
    """A key, as the ledger has it: without its secret."""

    id: str
    name: str
    role: Role
    namespace: str | None
    prefix: str
    secret_hash: str
    created_at: datetime
    created_by: str
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def valid_at(self, instant: datetime) -> bool:
        """Whether it is good for anything."""
        return self.revoked_at is None and (self.expires_at is None or instant < self.expires_at)

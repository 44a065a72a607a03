"""What the audit log has: who changed what, when and from where."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Act:
    """A request that may change something."""

    at: datetime
    actor: str
    """The name of the key."""
    address: str
    request_id: str
    action: str
    """The operation, as the OpenAPI document calls it."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A change that was made."""

    number: int
    """Grows with every entry."""
    at: datetime
    actor: str
    address: str
    request_id: str
    action: str
    namespace: str | None
    organization: str | None
    about: Mapping[str, str]
    """What was changed, by what it is: a grant's id, a plan's name."""


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """Which entries are wanted, the newest first."""

    limit: int
    before: int | None = None
    actor: str | None = None
    action: str | None = None
    namespace: str | None = None
    organization: str | None = None

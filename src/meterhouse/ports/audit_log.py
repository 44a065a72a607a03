"""The audit log, and who acts at the moment."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from ..domain.audit import Act, AuditEntry, AuditQuery

acting: ContextVar[Act | None] = ContextVar("acting", default=None)
"""The request that is being answered. What it changes is in the audit log in the same transaction; what the server does
by itself is not."""


class AuditLog(Protocol):
    """Is only added to: the database refuses anything else."""

    def record_act(self, *, namespace: str | None = None, organization: str | None = None, **about: str) -> None:
        """Adds what the request at hand has changed elsewhere than in the ledger; nothing where there is no request."""
        ...

    def audit_entries(self, query: AuditQuery) -> list[AuditEntry]:
        """Those that are wanted, the newest first."""
        ...

"""The audit log."""

from __future__ import annotations

from sqlalchemy import select

from ...domain.audit import AuditEntry, AuditQuery
from .database import Database
from .tables import audit_log


class SqlAuditLog(Database):
    """See `ports.AuditLog`. Changes of the ledger itself are recorded where they are made: see `Database._record`."""

    def record_act(self, *, namespace: str | None = None, organization: str | None = None, **about: str) -> None:
        """See `AuditLog.record_act`."""
        with self._engine.begin() as connection:
            self._record(connection, namespace=namespace, organization=organization, **about)

    def audit_entries(self, query: AuditQuery) -> list[AuditEntry]:
        """See `AuditLog.audit_entries`."""
        of = audit_log.c
        wanted = [
            of[name] == value
            for name in ("actor", "action", "namespace", "organization")
            if (value := getattr(query, name)) is not None
        ]
        if query.before is not None:
            wanted.append(of.number < query.before)
        return self._read(AuditEntry, select(audit_log).where(*wanted).order_by(of.number.desc()).limit(query.limit))

"""All that a ledger is."""

from __future__ import annotations

from typing import Protocol

from .alerts import AlertLedger
from .audit_log import AuditLog
from .catalog_versions import CatalogVersions
from .contract_records import ContractRecords
from .ended_sessions import EndedSessions
from .grants import Grants
from .keys import Keys
from .ledger_changes import LedgerChanges
from .operator_keys import OperatorKeys
from .organizations import Organizations
from .request_counts import RequestCounts
from .webhooks import WebhookLedger


class Ledger(
    Organizations,
    Keys,
    Grants,
    CatalogVersions,
    OperatorKeys,
    AuditLog,
    AlertLedger,
    WebhookLedger,
    ContractRecords,
    RequestCounts,
    EndedSessions,
    LedgerChanges,
    Protocol,
):
    """Organizations with their keys, subscriptions and grants; catalogs, operator keys and the audit log; alerts and
    webhooks; the server's secrets."""

    def secret(self, name: str, candidate: bytes) -> bytes:
        """The secret of that name: the one that is kept, or else `candidate`, which is kept from then on."""
        ...

    def ping(self) -> None:
        """Raises unless the database answers."""
        ...

    def close(self) -> None:
        """Releases connections."""
        ...

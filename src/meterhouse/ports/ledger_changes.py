"""Which change of the ledger was an organization's last: for caches."""

from __future__ import annotations

from typing import Protocol


class LedgerChanges(Protocol):
    """Tells of changes from memory."""

    def changes(self) -> int:
        """A number that grows with every change of organizations, subscriptions, keys, grants and catalogs,
        before its call ends."""
        ...

    def changed(self, organization_id: str) -> int:
        """The number of a change, at or after the newest one of that organization, its subscription, keys, grants
        or catalog: what was read after `changes` answered that number or a higher one is still so. Told from memory."""
        ...

"""What a contract keeps beside events, catalogs and accounts: names, metadata, whatever only its wire has."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True)
class RecordPlace:
    """Where records of one kind are: those of a contract in a namespace."""

    contract: str
    namespace: str
    kind: str


@dataclass(frozen=True, slots=True)
class ContractRecord:
    """A record. Among those of its place no two have the same `key`; one that is deleted has none."""

    contract: str
    namespace: str
    kind: str
    id: str
    key: str | None
    body: dict[str, Any] = field(hash=False)
    """JSON; numbers that have to be exact are texts."""
    created_at: datetime
    updated_at: datetime
    parent: str | None = None
    """What it belongs to, if it is asked for by that."""
    deleted_at: datetime | None = None

    @property
    def place(self) -> RecordPlace:
        """Where it is."""
        return RecordPlace(self.contract, self.namespace, self.kind)

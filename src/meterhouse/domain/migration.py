"""Moving a server into a cluster: how far it is, and what is compared."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

MODULUS = 1 << 64


class MigrationState(StrEnum):
    """In this order. From each of them but the last a server goes back to serving."""

    SERVING = "serving"
    COPYING = "copying"
    PAUSED = "paused"
    MOVED = "moved"


@dataclass(frozen=True, slots=True)
class CommitRange:
    """The commits after one, up to and with another."""

    after: int
    upto: int


@dataclass(frozen=True, slots=True)
class CopiedContent:
    """How many events some commits have, and the sum modulo 2 ** 64 of hashes of all that they say; and the same of
    records of retention, which every shard has."""

    events: int = 0
    said: int = 0
    records: int = 0
    recorded: int = 0

    def with_shard(self, other: CopiedContent) -> CopiedContent:
        """Of this and of another shard. Records are taken from the other, which must have the same."""
        return CopiedContent(
            self.events + other.events, (self.said + other.said) % MODULUS, other.records, other.recorded
        )

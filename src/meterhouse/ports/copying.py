"""Copying events out of a store, as they are stored."""

from __future__ import annotations

from typing import Protocol

from ..domain.migration import CommitRange, CopiedContent
from ..domain.shards import ShardMap
from .chunks import Chunks
from .ledger_changes import LedgerChanges


class CopiedLedger(LedgerChanges, Protocol):
    """A ledger that can be copied."""

    def rows(self) -> Chunks:
        """All of it, a row on each line."""
        ...


class Copying(Protocol):
    """Reads whole commits. They must have been known when a call begins, and nothing may change them in place."""

    def fitting(self, wanted: CommitRange, most_bytes: int) -> CommitRange:
        """The first commits of a range that have about so many bytes at most; one commit at least."""
        ...

    def rows(self, commits: CommitRange, shards: ShardMap, shard: int) -> Chunks:
        """All columns of the events of a shard's organizations, and of records of retention, in the format in which an
        engine takes them."""
        ...

    def content(self, commits: CommitRange) -> CopiedContent:
        """Of all events, to be compared with what arrived."""
        ...

"""Checkpoints of the dedup filter: what spares the next start reading every identity."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np

from ..corrections.dirty_slots import DirtySlots
from ..dedup import identity_queries
from ..dedup.filter_snapshot import CommitFingerprint, FilterSnapshot, SnapshotFile
from ..dedup.identity_filter import IdentityFilter
from ..dedup.identity_hash import Hashes
from ..engine.engine import Engine
from ..read.event_queries import COUNT_EVENTS
from ..write.commit_queries import COMMIT_FINGERPRINT
from ..write.writer import Writer

_SAVE_AFTER = 1_000_000
"""A snapshot waits for at least this many new identities, and"""
_SAVE_SHARE = 16
"""for this part of all identities: what is left for the next start stays small, and writing stays rare."""


class StoredIdentities:
    """The identities of the table of events."""

    def __init__(self, engine: Engine):
        self._engine = engine

    def between(self, first: int, last: int) -> Hashes:
        """The stored hashes from the first to the last, both included."""
        return self._read(identity_queries.IDENTITIES_BETWEEN, first=first, last=last)

    def after(self, commit: int) -> Hashes:
        """The hashes of the events stored after a commit."""
        return self._read(identity_queries.IDENTITIES_AFTER, commit=commit)

    def fingerprint(self, commit: int) -> CommitFingerprint:
        """What tells a commit from one of the same number in another history."""
        [[events, identities, stored_at]] = self._engine.rows(COMMIT_FINGERPRINT, {"commit": commit})
        return CommitFingerprint(commit, events, identities, stored_at)

    def _read(self, sql: str, **parameters: int) -> Hashes:
        return np.frombuffer(self._engine.uint64s(sql, parameters), dtype="<u8")


class Checkpoints:
    """Saves the filter and the dirty slots, and loads them."""

    def __init__(self, engine: Engine, path: Path):
        """`path` is the file. It may be deleted: the next start is slower then."""
        self._engine = engine
        self._file = SnapshotFile(path)
        self._identities = StoredIdentities(engine)
        self._saving = threading.Lock()

    def load(self) -> FilterSnapshot | None:
        """The snapshot; None when there is none of these events."""
        saved = self._file.load()
        if saved is None or not saved.fingerprint.events:
            return None
        return saved if self._identities.fingerprint(saved.fingerprint.commit) == saved.fingerprint else None

    def restore_filter(self, saved: FilterSnapshot | None) -> tuple[IdentityFilter, int]:
        """The filter of everything stored, and how many of its identities no snapshot has."""
        if saved is None:
            [[count]] = self._engine.rows(COUNT_EVENTS, {})
            return IdentityFilter.of_stored(self._identities.between, count), count
        restored = IdentityFilter(self._identities.between)
        restored.restore(saved.shards)
        since = self._identities.after(saved.fingerprint.commit)
        restored.add(since)
        return restored, since.size

    def save_when_due(self, writer: Writer, identity_filter: IdentityFilter, dirty_slots: DirtySlots) -> None:
        """Saves when enough identities are new for it to pay. Raises `OSError` and `EngineError`."""
        if writer.new_identities >= max(_SAVE_AFTER, identity_filter.size // _SAVE_SHARE):
            self.save(writer, identity_filter, dirty_slots)

    def save(self, writer: Writer, identity_filter: IdentityFilter, dirty_slots: DirtySlots) -> None:
        """Saves unless nothing is new. Raises `OSError` and `EngineError`."""
        with self._saving:
            with writer.lock:
                # After a write that failed nobody knows what the next start will find: it has to look.
                if not writer.certain or not writer.new_identities:
                    return
                fingerprint = self._identities.fingerprint(writer.latest_commit())
                saved = FilterSnapshot(identity_filter.shards(), fingerprint, dirty_slots.all())
                new = writer.new_identities
            self._file.save(saved)
            with writer.lock:
                writer.new_identities -= new

    def renew_filter(self, writer: Writer, identity_filter: IdentityFilter) -> None:
        """Makes the filter anew from what is stored, without the identities of events that are gone."""
        with self._saving:
            self._file.drop()
            for renew in identity_filter.renewals():
                with writer.lock:  # not for all of them together: others wait to write
                    renew()
            with writer.lock:
                writer.new_identities = identity_filter.size

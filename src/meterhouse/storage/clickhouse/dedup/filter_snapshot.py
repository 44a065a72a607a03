"""The dedup filter as a file, so that a start need not read every identity."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np
import xxhash

from ...durable import sync_folder
from .identity_filter import SHARDS, Shard

_VERSION = 4
"""Of the hashes, the probes and the file. A file of another version is not read."""


class CommitFingerprint(msgspec.Struct, frozen=True, array_like=True):
    """Tells a commit from one of the same number in another history: its number of events, and the sums of their
    identities and of the times when they were stored."""

    commit: int
    events: int
    identities: int
    stored_at: int


class FilterSnapshot(NamedTuple):
    """The filter and the dirty slots of the events up to a commit."""

    shards: list[Shard]
    fingerprint: CommitFingerprint
    dirty_slots: list[tuple[str, str, list[int]]]


class _Header(msgspec.Struct, frozen=True):
    version: int
    fingerprint: CommitFingerprint
    shards: list[tuple[int, int]]
    """Of each its size and how many words it has."""
    dirty_slots: list[tuple[str, str, list[int]]]


class SnapshotFile:
    """The file of a snapshot. It only makes a start faster: a file that is damaged in any way counts as missing."""

    def __init__(self, path: Path):
        self._path = path

    def save(self, saved: FilterSnapshot) -> None:
        """Replaces the file atomically. Raises `OSError`."""
        unfinished = self._path.with_suffix(".new")
        sizes = [(shard.size, shard.words.size) for shard in saved.shards]
        header = _Header(_VERSION, saved.fingerprint, sizes, saved.dirty_slots)
        line = msgspec.json.encode(header) + b"\n"
        digest = xxhash.xxh3_128(line)
        with unfinished.open("wb") as file:
            file.write(line)
            for shard in saved.shards:
                # A copy: bits may be set meanwhile, which does no harm except to a checksum.
                packed = shard.words.tobytes()
                digest.update(packed)
                file.write(packed)
            file.write(digest.digest())
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(self._path)
        sync_folder(self._path.parent)

    def load(self) -> FilterSnapshot | None:
        """The last snapshot; None when there is none, or it is not whole."""
        try:
            return self._read()
        except (OSError, ValueError, msgspec.MsgspecError, MemoryError):
            return None

    def drop(self) -> None:
        """Removes the file. Raises `OSError`."""
        self._path.unlink(missing_ok=True)

    def _read(self) -> FilterSnapshot | None:
        digest = xxhash.xxh3_128()
        with self._path.open("rb") as file:
            line = file.readline(1 << 28)
            digest.update(line)
            header = msgspec.json.decode(line, type=_Header)
            length = len(line) + sum(8 * words for _, words in header.shards) + digest.digest_size
            if header.version != _VERSION or len(header.shards) != SHARDS or length != self._path.stat().st_size:
                return None
            shards = []
            for size, words in header.shards:
                shard = Shard(size, np.zeros(words, dtype="<u8"))
                file.readinto(shard.words.data)
                digest.update(shard.words.data)
                shards.append(shard)
            return (
                FilterSnapshot(shards, header.fingerprint, header.dirty_slots)
                if file.read() == digest.digest()
                else None
            )

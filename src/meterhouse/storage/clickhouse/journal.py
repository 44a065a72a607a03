"""Commits on their way into the engine: durable at once, and stored there together a moment later.

A commit of its own is a part of a table, which costs the engine as much for one event as for hundreds, and some waits
for the disk. So it is written to a file first, which costs one short wait, and what has come together is stored by one
insert. Who asks the engine asks through `JournaledEngine`, which stores what waits before: nobody sees a difference.
"""

from __future__ import annotations

import os
import struct
import threading
from pathlib import Path
from typing import Any

import structlog
import xxhash

from ...ports import Chunks
from ..folder import sync_folder
from .engine import NO_PARAMETERS, Engine, EngineError, Parameters
from .queries import COMMITS_SINCE

_STORE_AFTER_SECONDS = 1.0
"""How long a commit waits to be stored, if nobody asks for events before, unless"""
_STORE_BYTES = 2 * 1024 * 1024
"""so much has come together: some ten thousand events, from which on an insert is cheap."""
_MOST_BYTES = 64 * 1024 * 1024
"""With so much waiting, who commits waits too."""
_SPARE_BYTES = 16 * 1024 * 1024
"""Disk space that is kept for storing what was taken, when there is no other: until it is, nobody can be answered. More
than the engine makes of what waits at most."""

_HEAD = struct.Struct("<QQQ")
"""The commit, how long its block is, and the checksum of commit and block."""
_sync = getattr(os, "fdatasync", os.fsync)  # macOS lacks the former

_log = structlog.get_logger(__name__)

Record = tuple[int, bytes]
"""A commit, and its events as a block."""


class Segment:
    """A file of records, of which one cut short by a crash was never acknowledged. Raises `OSError`."""

    def __init__(self, path: Path):
        self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self.size = os.fstat(self._file).st_size
        self._torn = False

    def records(self) -> list[Record]:
        """Those that are whole, in their order."""
        content = os.pread(self._file, self.size, 0)
        records, begin = [], 0
        while len(content) - begin >= _HEAD.size:
            commit, length, checksum = _HEAD.unpack_from(content, begin)
            begin += _HEAD.size
            block = content[begin : begin + length]
            if len(block) != length or _checksum(commit, block) != checksum:
                break
            records.append((commit, block))
            begin += length
        return records

    def append(self, record: Record) -> None:
        """On the disk when it returns. When it raises, the record may be there until the next call of any method."""
        self.mend()
        commit, block = record
        head = _HEAD.pack(commit, len(block), _checksum(commit, block))
        self._torn = True
        _write(self._file, head + block, self.size)
        _sync(self._file)
        self._torn = False
        self.size += len(head) + len(block)

    def mend(self) -> None:
        """Takes back what was not appended to its end."""
        if self._torn:
            self._cut(self.size)
            self._torn = False

    def empty(self) -> None:
        """Removes all records; for good when it returns."""
        if self.size or self._torn:
            self._cut(0)
            self.size, self._torn = 0, False

    def _cut(self, size: int) -> None:
        os.ftruncate(self._file, size)
        _sync(self._file)

    def close(self) -> None:
        """Leaves the records where they are."""
        os.close(self._file)


class Spare:
    """A file that does nothing but take space, for a time when there is none."""

    def __init__(self, path: Path):
        self._path = path
        self._taken = path.exists() and path.stat().st_size == _SPARE_BYTES

    def take(self) -> None:
        """Raises `OSError` when there is not so much."""
        if self._taken:
            return
        with self._path.open("wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, _SPARE_BYTES)
            except AttributeError:  # macOS lacks it
                file.write(bytes(_SPARE_BYTES))
        self._taken = True

    def give(self) -> bool:
        """Whether there was something to give."""
        given, self._taken = self._taken, False
        self._path.unlink(missing_ok=True)
        return given


class Journal:
    """Commits that the table of events does not have yet. Two files take turns: one is written while the commits of
    the other are stored. Methods raise `EngineError`."""

    def __init__(self, engine: Engine, folder: Path):
        """Stores what the last process has left. The table of events is there."""
        self._engine = engine
        self._changed = threading.Condition()  # guards what waits; held for the time of a write at most
        self._storing = threading.Lock()  # whoever stores, and whoever waits for it
        try:
            folder.mkdir(exist_ok=True, mode=0o700)
            self._spare = Spare(folder / "spare")
            self._written, self._resting = Segment(folder / "0"), Segment(folder / "1")
            for place in (folder, folder.parent):
                sync_folder(place)
            left = sorted(self._written.records() + self._resting.records())
        except OSError as failure:
            raise EngineError(f"the journal in {folder} cannot be used: {failure}") from failure
        self._waiting: list[Record] = []
        self._waiting_bytes = 0
        self._taken = left
        self._doubtful = True
        """Whether what was taken may be in the table, whole commits of it."""
        self.stored_commit = 0
        """Commits up to this one are in the table, as far as they came this way."""
        self._store_taken()
        self._empty(self._written)
        self._empty(self._resting)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="meterhouse-journal", daemon=True)
        self._thread.start()

    def append(self, commit: int, block: bytes) -> None:
        """Takes a commit, higher than those before, and its events: durable when it returns. One caller at a time."""
        if self._waiting_bytes + len(block) > _MOST_BYTES:
            self.store()
        with self._changed:
            try:
                self._spare.take()
                self._written.append((commit, block))
            except OSError as failure:
                raise EngineError(f"the journal cannot be written: {failure}") from failure
            self._waiting.append((commit, block))
            self._waiting_bytes += len(block)
            if len(self._waiting) == 1 or self._waiting_bytes >= _STORE_BYTES:
                self._changed.notify()

    def store(self) -> None:
        """Stores what was appended before: all of it is in the table when it returns."""
        with self._storing:
            self._store_taken()
            self._empty(self._resting)
            with self._changed:
                if not self._waiting:
                    return
                try:
                    self._written.mend()  # what was refused must not outlive its repetition
                except OSError as failure:
                    raise EngineError(f"the journal cannot be written: {failure}") from failure
                self._taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
                self._written, self._resting = self._resting, self._written
            self._store_taken()
            self._empty(self._resting)

    def _store_taken(self) -> None:
        if not self._taken:
            return
        left = self._taken
        if self._doubtful:
            stored = {commit for [commit] in self._engine.rows(COMMITS_SINCE, {"commit": left[0][0]})}
            left = [record for record in left if record[0] not in stored]
        if left:
            self._doubtful = True
            try:
                self._engine.insert("events", b"".join(block for _, block in left))
            except EngineError:
                if not self._spare.give():
                    raise
                self._store_taken()
                return
        self.stored_commit = self._taken[-1][0]
        self._taken, self._doubtful = [], False

    @staticmethod
    def _empty(segment: Segment) -> None:
        # Before anything else: a commit whose events are removed from the table must not come back from here.
        try:
            segment.empty()
        except OSError as failure:
            raise EngineError(f"the journal cannot be emptied: {failure}") from failure

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._taken or self._closing)
                self._changed.wait_for(
                    lambda: self._waiting_bytes >= _STORE_BYTES or self._closing, _STORE_AFTER_SECONDS
                )
                if self._closing:
                    return
            try:
                self.store()
            except EngineError as failure:
                _log.error("what was committed could not be stored in the engine; trying again", exc_info=failure)

    def close(self) -> None:
        """Stores what waits; the next start does it when that fails."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        try:
            self.store()
        except EngineError as failure:
            _log.error("what was committed could not be stored in the engine; the next start does it", exc_info=failure)
        finally:
            self._written.close()
            self._resting.close()


class JournaledEngine:
    """An engine whose table of events has what its journal had when a call began."""

    def __init__(self, engine: Engine, journal: Journal):
        self._engine, self._journal = engine, journal

    def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
        """See `Engine`."""
        self._journal.store()
        self._engine.execute(sql, parameters)

    def rows(self, sql: str, parameters: Parameters) -> list[list[Any]]:
        """See `Engine`."""
        self._journal.store()
        return self._engine.rows(sql, parameters)

    def uint64s(self, sql: str, parameters: Parameters) -> bytes:
        """See `Engine`."""
        self._journal.store()
        return self._engine.uint64s(sql, parameters)

    def insert(self, table: str, block: bytes) -> None:
        """See `Engine`."""
        self._journal.store()
        self._engine.insert(table, block)

    def stream(self, sql: str, parameters: Parameters, output_format: str) -> Chunks:
        """See `Engine`."""
        self._journal.store()
        return self._engine.stream(sql, parameters, output_format)

    def freeze(self, table: str, name: str) -> Path:
        """See `Engine`."""
        self._journal.store()
        return self._engine.freeze(table, name)

    def thaw(self, name: str) -> None:
        """See `Engine`."""
        self._engine.thaw(name)

    def attach(self, table: str, parts: Path) -> None:
        """See `Engine`."""
        self._journal.store()
        self._engine.attach(table, parts)

    def close(self) -> None:
        """See `Engine`."""
        self._journal.close()
        self._engine.close()


def _checksum(commit: int, block: bytes) -> int:
    return xxhash.xxh3_64_intdigest(block, commit)


def _write(file: int, content: bytes, offset: int) -> None:
    left = memoryview(content)
    while left:
        written = os.pwrite(file, left, offset)
        left, offset = left[written:], offset + written

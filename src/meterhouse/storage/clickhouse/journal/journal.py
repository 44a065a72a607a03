"""The journal, a write-ahead log: commits are durable here at once, and inserted into the engine together a moment
later. An insert makes a part, which costs the engine as much for one event as for hundreds, and several waits for the
disk. So a commit is appended to a log first, with one short wait, and one insert takes all commits that have come
together. Readers go through `FlushingEngine`, which flushes first: they see every commit."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Protocol

import structlog

from ..engine.engine import EngineError
from .segment import Record

_STORE_AFTER_SECONDS = 1.0
"""How long a commit waits for a flush, if nobody asks for events before."""
_STORE_BYTES = 2 * 1024 * 1024
"""A flush begins when so much waits, some ten thousand events: a larger insert is not much cheaper."""
_MOST_BYTES = 64 * 1024 * 1024
"""With more waiting than this, a commit waits for a flush."""

_log = structlog.get_logger(__name__)


class Log(Protocol):
    """Where commits last until they are in the table of events. Methods raise `EngineError`.

    `append` may be called while the others are; of the others one at a time.
    """

    def left(self) -> list[Record]:
        """The commits that the last process has left, in their order; the table may have some of them, whole."""
        ...

    def begin(self) -> None:
        """What was left is in the table: from now on commits are appended."""
        ...

    def append(self, record: Record) -> None:
        """Appends the next commit; it is durable when the method returns. One caller at a time. When it fails, the
        commit may be durable, and nobody must be told that it is: its number is not used again."""
        ...

    def check_room(self) -> None:
        """Raises `FullDisk` when the last commit found no room, and there is none now."""
        ...

    def rotate(self) -> None:
        """All commits up to now will be inserted: those that follow are kept apart from them. No append is under
        way."""
        ...

    def insert(self, records: Sequence[Record], *, doubtful: bool) -> None:
        """Inserts commits into the table of events, and writes down that they are there. Where it is `doubtful`, the
        table may have some of them already."""
        ...

    def forget(self) -> None:
        """Drops the commits that are in the table: one whose events are removed from there must not come back."""
        ...

    def close(self, *, emptied: bool) -> None:
        """Ends. `emptied` tells whether all commits are in the table."""
        ...


class Journal:
    """Holds the commits that the table of events lacks. Methods raise `EngineError`."""

    def __init__(self, log: Log):
        """Flushes the commits of the last process. The table of events must exist."""
        self._log = log
        self._changed = threading.Condition()  # guards what waits; held for the time of a write at most
        self._storing = threading.Lock()  # whoever stores, and whoever waits for it
        self._waiting: list[Record] = []
        self._waiting_bytes = 0
        self._taken = log.left()
        self._doubtful = True
        """Whether what was taken may be in the table, whole commits of it."""
        self.stored_commit = 0
        """Commits up to this one are in the table, as far as they came this way."""
        self._store_taken()
        log.begin()
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="meterhouse-journal", daemon=True)
        self._thread.start()

    def append(self, record: Record) -> None:
        """Appends the next commit; it is durable when the method returns. One caller at a time."""
        if self._waiting_bytes + len(record.block) > _MOST_BYTES:
            self.flush()
        with self._changed:
            self._log.append(record)
            self._waiting.append(record)
            self._waiting_bytes += len(record.block)
            if len(self._waiting) == 1 or self._waiting_bytes >= _STORE_BYTES:
                self._changed.notify()

    def check_room(self) -> None:
        """Raises `FullDisk` when the last commit found no room, and there is none now."""
        self._log.check_room()

    def flush(self) -> None:
        """Inserts all appended commits into the table of events."""
        with self._storing:
            self._store_taken()
            self._log.forget()
            with self._changed:
                if not self._waiting:
                    return
                self._log.rotate()
                self._taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
            self._store_taken()
            self._log.forget()

    def _store_taken(self) -> None:
        if not self._taken:
            return
        doubtful, self._doubtful = self._doubtful, True
        self._log.insert(self._taken, doubtful=doubtful)
        self.stored_commit = self._taken[-1].commit
        self._taken, self._doubtful = [], False

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
                self.flush()
            except EngineError as failure:
                _log.error("what was committed could not be stored in the engine; trying again", exc_info=failure)

    def close(self) -> None:
        """Flushes; when that fails, the next start does it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        emptied = False
        try:
            self.flush()
            emptied = True
        except EngineError as failure:
            _log.error("what was committed could not be stored in the engine; the next start does it", exc_info=failure)
        finally:
            self._log.close(emptied=emptied)

"""The journal, a write-ahead log: commits are durable here at once, and inserted into the engine together a moment
later. An insert makes a part, which costs the engine as much for one event as for hundreds, and several waits for the
disk. So a commit is appended to a file first, with one short wait, and one insert takes all commits that have come
together. Readers go through `FlushingEngine`, which flushes first: they see every commit."""

from __future__ import annotations

import errno
import shutil
import threading
from dataclasses import dataclass
from pathlib import Path

import structlog

from ...durable import sync_folder
from ...manifest import Manifest
from ...reserved_space import ReservedSpace
from ..engine.engine import DamagedStorage, Engine, EngineError, FullDisk
from .journal_queries import COMMITS_SINCE
from .segment import Damage, Record, Segment

_STORE_AFTER_SECONDS = 1.0
"""How long a commit waits for a flush, if nobody asks for events before."""
_STORE_BYTES = 2 * 1024 * 1024
"""A flush begins when so much waits, some ten thousand events: a larger insert is not much cheaper."""
_MOST_BYTES = 64 * 1024 * 1024
"""With more waiting than this, a commit waits for a flush."""
_ROOM_BYTES = 32 * 1024 * 1024
"""With more room than this the disk does not count as full: the reserved space can be taken again."""
SEGMENTS = ("0", "1")

_log = structlog.get_logger(__name__)


class JournalDamaged(DamagedStorage):
    """Commits that were acknowledged cannot be read from the journal."""


@dataclass(frozen=True, slots=True)
class JournalFiles:
    """The folder of a journal, the manifest, and the reserved space."""

    folder: Path
    manifest: Manifest
    reserved: ReservedSpace


def read_segments(folder: Path, stored: int | None) -> tuple[list[Record], list[Damage]]:
    """The sound records of the commits after `stored`, in their order, and the damages that may have cost one of them.
    Raises `OSError`.

    A crash may leave what was stored already, and of a segment that was being emptied also less than that: the end of
    a file is taken away last, after zeros were written over what is left of its first block.
    """
    newest = stored or 0
    records: list[Record] = []
    damages: list[Damage] = []
    for name in SEGMENTS:
        if (folder / name).exists():
            segment = Segment(folder / name)
            try:
                sound, damaged = segment.read()
            finally:
                segment.close()
            records += [record for record in sound if record.commit > newest]
            damages += [damage for damage in damaged if damage.may_lack(newest)]
    return sorted(records), damages


class Journal:
    """Holds the commits that the table of events lacks. Two segments take turns: one is appended to while the other is
    flushed. Methods raise `EngineError`."""

    def __init__(self, engine: Engine, files: JournalFiles):
        """Flushes the commits of the last process. The table of events must exist. Raises `JournalDamaged`, and changes
        nothing, when commits cannot be read."""
        self._engine = engine
        self._manifest = files.manifest
        self._reserved = files.reserved
        self._changed = threading.Condition()  # guards what waits; held for the time of a write at most
        self._storing = threading.Lock()  # whoever stores, and whoever waits for it
        try:
            left = self._open(files.folder)
        except OSError as failure:
            raise EngineError(f"the journal in {files.folder} cannot be used: {failure}") from failure
        self._folder = files.folder
        self._full = False
        """Whether the last commit found no room."""
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
        self._record_stopped(stopped=False)
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="meterhouse-journal", daemon=True)
        self._thread.start()

    def _open(self, folder: Path) -> list[Record]:
        missing = [str(folder / name) for name in SEGMENTS if not (folder / name).exists()]
        if missing and not self._manifest.state.stopped:
            raise JournalDamaged(
                f"{' and '.join(missing)} must be there after a crash and is gone: what was answered after commit "
                f"{self._manifest.state.commit} may be lost"
            )
        folder.mkdir(exist_ok=True, mode=0o700)
        records, damages = read_segments(folder, self._manifest.state.commit)
        if damages:
            raise JournalDamaged("; ".join(map(str, damages)))
        self._written, self._resting = (Segment(folder / name) for name in SEGMENTS)
        for place in (folder, folder.parent):
            sync_folder(place)
        return records

    def append(self, record: Record) -> None:
        """Appends the next commit; it is durable when the method returns. One caller at a time."""
        if self._waiting_bytes + len(record.block) > _MOST_BYTES:
            self.flush()
        with self._changed:
            try:
                self._reserved.take()
                self._written.append(record)
            except OSError as failure:
                self._full = failure.errno == errno.ENOSPC
                raise _failed("the journal cannot be written", failure) from failure
            self._full = False
            self._waiting.append(record)
            self._waiting_bytes += len(record.block)
            if len(self._waiting) == 1 or self._waiting_bytes >= _STORE_BYTES:
                self._changed.notify()

    def check_room(self) -> None:
        """Raises `FullDisk` when the last commit found no room, and there is none now."""
        if self._full and shutil.disk_usage(self._folder).free < _ROOM_BYTES:
            raise FullDisk(f"there is no room for the journal in {self._folder}")

    def flush(self) -> None:
        """Inserts all appended commits into the table of events."""
        with self._storing:
            self._store_taken()
            self._empty(self._resting)
            with self._changed:
                if not self._waiting:
                    return
                try:
                    self._written.truncate_torn_tail()  # what was refused must not outlive its repetition
                except OSError as failure:
                    raise _failed("the journal cannot be written", failure) from failure
                self._taken, self._waiting, self._waiting_bytes = self._waiting, [], 0
                self._written, self._resting = self._resting, self._written
            self._store_taken()
            self._empty(self._resting)

    def _store_taken(self) -> None:
        if not self._taken:
            return
        left = self._taken
        if self._doubtful:
            stored = {commit for [commit] in self._engine.rows(COMMITS_SINCE, {"commit": left[0].commit})}
            left = [record for record in left if record.commit not in stored]
        if left:
            self._doubtful = True
            try:
                self._engine.insert("events", b"".join(record.block for record in left))
            except FullDisk:
                if not self._reserved.give():
                    raise
                self._store_taken()
                return
        newest = self._taken[-1].commit
        try:
            self._engine.sync_names("events")
            self._manifest.stored(newest, sum(record.events for record in self._taken))
        except OSError as failure:
            raise _failed("what was stored cannot be written down", failure) from failure
        self.stored_commit = newest
        self._taken, self._doubtful = [], False

    def _record_stopped(self, *, stopped: bool) -> None:
        try:
            self._manifest.update(stopped=stopped)
        except OSError as failure:
            raise _failed("the manifest cannot be written", failure) from failure

    @staticmethod
    def _empty(segment: Segment) -> None:
        # Before anything else: a commit whose events are removed from the table must not come back from here.
        try:
            segment.empty()
        except OSError as failure:
            raise _failed("the journal cannot be emptied", failure) from failure

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
        try:
            self.flush()
            self._record_stopped(stopped=True)
        except EngineError as failure:
            _log.error("what was committed could not be stored in the engine; the next start does it", exc_info=failure)
        finally:
            self._written.close()
            self._resting.close()


def _failed(what: str, failure: OSError) -> EngineError:
    kind = FullDisk if failure.errno == errno.ENOSPC else EngineError
    return kind(f"{what}: {failure}")

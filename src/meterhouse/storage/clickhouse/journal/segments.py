"""The journal's log in files. Two segments take turns: one is appended to while the other is flushed."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Sequence
from pathlib import Path

import structlog

from ...durable import sync_folder
from ...manifest import Manifest
from ...reserved_space import ReservedSpace
from ..engine.engine import DamagedStorage, Engine, EngineError, FullDisk
from .journal_queries import COMMITS_SINCE
from .segment import Damage, Record, Segment

_ROOM_BYTES = 32 * 1024 * 1024
"""With more room than this the disk does not count as full: the reserved space can be taken again."""
SEGMENTS = ("0", "1")

_log = structlog.get_logger(__name__)


class JournalDamaged(DamagedStorage):
    """Commits that were acknowledged cannot be read from the journal."""


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


class Segments:
    """See `journal.Log`."""

    _written: Segment
    _resting: Segment

    def __init__(self, engine: Engine, folder: Path, manifest: Manifest, reserved: ReservedSpace):
        """Takes the folder of a journal, which `left` opens."""
        self._engine = engine
        self._folder = folder
        self._manifest = manifest
        self._reserved = reserved
        self._full = False
        """Whether the last commit found no room."""

    def left(self) -> list[Record]:
        """See `Log`. Raises `JournalDamaged`, and changes nothing, when commits cannot be read."""
        try:
            return self._open()
        except OSError as failure:
            raise EngineError(f"the journal in {self._folder} cannot be used: {failure}") from failure

    def _open(self) -> list[Record]:
        missing = [str(self._folder / name) for name in SEGMENTS if not (self._folder / name).exists()]
        if missing and not self._manifest.state.stopped:
            raise JournalDamaged(
                f"{' and '.join(missing)} must be there after a crash and is gone: what was answered after commit "
                f"{self._manifest.state.commit} may be lost"
            )
        self._folder.mkdir(exist_ok=True, mode=0o700)
        records, damages = read_segments(self._folder, self._manifest.state.commit)
        if damages:
            raise JournalDamaged("; ".join(map(str, damages)))
        self._written, self._resting = (Segment(self._folder / name) for name in SEGMENTS)
        for place in (self._folder, self._folder.parent):
            sync_folder(place)
        return records

    def begin(self) -> None:
        """See `Log`."""
        self._empty(self._written)
        self._empty(self._resting)
        self._record_stopped(stopped=False)

    def append(self, record: Record) -> None:
        """See `Log`."""
        try:
            self._reserved.take()
            self._written.append(record)
        except OSError as failure:
            self._full = failure.errno == errno.ENOSPC
            raise _failed("the journal cannot be written", failure) from failure
        self._full = False

    def check_room(self) -> None:
        """See `Log`."""
        if self._full and shutil.disk_usage(self._folder).free < _ROOM_BYTES:
            raise FullDisk(f"there is no room for the journal in {self._folder}")

    def rotate(self) -> None:
        """See `Log`."""
        try:
            self._written.truncate_torn_tail()  # what was refused must not outlive its repetition
        except OSError as failure:
            raise _failed("the journal cannot be written", failure) from failure
        self._written, self._resting = self._resting, self._written

    def insert(self, records: Sequence[Record], *, doubtful: bool) -> None:
        """See `Log`."""
        left = records
        if doubtful:
            stored = {commit for [commit] in self._engine.rows(COMMITS_SINCE, {"commit": left[0].commit})}
            left = [record for record in left if record.commit not in stored]
        if left:
            try:
                self._engine.insert("events", b"".join(record.block for record in left))
            except FullDisk:
                if not self._reserved.give():
                    raise
                self.insert(records, doubtful=True)
                return
        try:
            self._engine.sync_names("events")
            self._manifest.stored(records[-1].commit, sum(record.events for record in records))
        except OSError as failure:
            raise _failed("what was stored cannot be written down", failure) from failure

    def forget(self) -> None:
        """See `Log`."""
        self._empty(self._resting)

    def close(self, *, emptied: bool) -> None:
        """See `Log`."""
        try:
            if emptied:
                self._record_stopped(stopped=True)
        except EngineError as failure:
            _log.error("that the journal is empty could not be written down; the next start looks", exc_info=failure)
        finally:
            self._written.close()
            self._resting.close()

    def _record_stopped(self, *, stopped: bool) -> None:
        try:
            self._manifest.update(stopped=stopped)
        except OSError as failure:
            raise _failed("the manifest cannot be written", failure) from failure

    @staticmethod
    def _empty(segment: Segment) -> None:
        try:
            segment.empty()
        except OSError as failure:
            raise _failed("the journal cannot be emptied", failure) from failure


def _failed(what: str, failure: OSError) -> EngineError:
    kind = FullDisk if failure.errno == errno.ENOSPC else EngineError
    return kind(f"{what}: {failure}")

"""The data folder: who may use it, which version of Meterhouse wrote it, and what it must hold."""

from __future__ import annotations

import fcntl
import os
import stat
from pathlib import Path
from typing import BinaryIO

import structlog
from sqlalchemy import URL

from ..domain.errors import FolderError
from ..domain.shards import ShardMap
from .durable import write_file
from .manifest import Manifest, NothingTells, State, create_manifest, manifest_in, read_manifest
from .reshard_marker import read_switch

FORMAT = 4
"""Version of the folder's layout; raised when an older Meterhouse could not read what a newer one writes, or the other
way round. Since 4, the organization is part of an event's identity."""

LEDGER = "ledger.sqlite"
SHARDS = "shards"
RESTORING = "restoring"
"""Holds what a restore has not finished."""
RESHARDING = "resharding"
"""Holds the shards that a reshard makes."""
RESHARDED = "done"
"""In it: they are whole, and take the place of the old ones."""
MOVED = "moved"
"""Says that a cluster has what is in the folder."""
_ADDRESS = "address"

_log = structlog.get_logger(__name__)


class DataFolder:
    """A folder held by this process until it is closed or the process ends, however it ends."""

    def __init__(self, path: Path, *, repairing: bool = False, resharding: bool = False):
        """Takes the folder, making it when there is none. Raises `FolderError` when it cannot be had, or lacks what it
        must have; what it lacks is told in `problems` when it is opened to be repaired. One in which a reshard has to
        be finished is opened for that alone."""
        self.path = path
        self.problems: list[str] = []
        """Why nobody can tell what the folder must hold."""
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._refuse_unfinished_restore()  # and leave nothing in it, so that another restore finds it empty
            keep_private(path)
            self._lock = self._acquire(path / "lock")
        except OSError as wrong:
            raise FolderError(
                f"the data folder {path} cannot be used: {wrong.strerror}; name another with --data or METERHOUSE_DATA"
            ) from None
        try:
            self._refuse_moved()
            if not resharding:
                self._refuse_half_switched()
            self.manifest = self._open_to_repair() if repairing else self._open()
        except OSError as wrong:
            self.close()
            raise FolderError(f"the data folder {path} cannot be used: {wrong}") from wrong
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _acquire(lock_path: Path) -> BinaryIO:
        lock = lock_path.open("a+b")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            holder = lock.read(20).decode("ascii", "replace").strip() or "unknown"
            lock.close()
            url = _announced(lock_path.parent, holder)
            hint = f"Talk to the running server with --url {url}" if url else "Wait until it has ended"
            raise FolderError(
                f"the data folder {lock_path.parent} is in use by process {holder}: one process owns a folder. "
                f"{hint}, or name another folder with --data"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()).encode())
        lock.flush()
        return lock

    def _refuse_unfinished_restore(self) -> None:
        if (self.path / RESTORING).exists():
            raise FolderError(f"{self.path} has a restore that was not finished: empty it, and restore again")

    def _refuse_moved(self) -> None:
        if (migration := moved_by(self.path)) is not None:
            raise FolderError(
                f"{self.path} has moved into a cluster (migration {migration}), which has all of it, and what it was "
                f"sent since. To use the folder all the same, without that, remove {self.path / MOVED}"
            )

    def mark_moved(self, migration: str) -> None:
        """Writes down that a cluster has everything; on the disk when it returns. Raises `OSError`."""
        write_file(self.path / MOVED, migration.encode())

    def _refuse_half_switched(self) -> None:
        if (switch := read_switch(self.path / RESHARDING / RESHARDED)) is not None:
            count = ShardMap(switch.shards).count
            raise FolderError(
                f"{self.path}: a reshard was not finished, and nothing is lost: run "
                f"`meterhouse reshard {count} --data {self.path}` again"
            )

    def _open_to_repair(self) -> Manifest:
        try:
            return self._open()
        except NothingTells as wrong:
            self.problems.append(str(wrong))
            return manifest_in(self.path / "manifest", State(commit=None, turn=None))

    def begin_anew(self) -> None:
        """Writes what the problems are about, so that the next start takes what is there. Raises `OSError`."""
        self.manifest = create_manifest(self.path / "manifest", self.manifest.state)
        write_file(self.path / "format", str(FORMAT).encode())

    def _open(self) -> Manifest:
        self._refuse_unfinished_restore()  # it may have begun meanwhile
        format_path, manifest_path = self.path / "format", self.path / "manifest"
        written = format_path.read_text("ascii", "replace").strip() if format_path.exists() else ""
        written = written if written.isdigit() else ""  # damaged
        if written and int(written) < FORMAT:
            raise FolderError(
                f"{self.path} was written in data format {written[:20]} by an earlier version, this version reads "
                f"{FORMAT}, and nothing in the folder was changed. Export its events with the version that wrote it, "
                f"and ingest them into a new folder with this one:\n"
                f"    meterhouse export events.ndjson --data {self.path}\n"
                f"    meterhouse ingest events.ndjson --data NEW-FOLDER"
            )
        if written and written != str(FORMAT):
            raise FolderError(
                f"{self.path} was written in data format {written[:20]}, this version reads {FORMAT}: "
                "use the version of meterhouse that wrote it, or a newer one"
            )
        used = [each.name for each in (self.events, self.journal, self.path / LEDGER) if each.exists()]
        if not written:
            if used and not manifest_path.exists():
                raise NothingTells(f"{self.path} has {', '.join(used)}, and no file named format or manifest")
            if not manifest_path.exists():
                create_manifest(manifest_path, State())
            write_file(format_path, str(FORMAT).encode())
        if not manifest_path.exists():
            raise NothingTells(f"{manifest_path} is gone")
        return read_manifest(manifest_path)

    @property
    def events(self) -> Path:
        """Where ClickHouse keeps the events."""
        return self.path / "events"

    @property
    def journal(self) -> Path:
        """Where commits are that ClickHouse does not have yet."""
        return self.path / "journal"

    @property
    def identities(self) -> Path:
        """A snapshot of which identities are known: may be deleted, and takes the next start some time then."""
        return self.path / "identities.snapshot"

    @property
    def ledger(self) -> Path:
        """The SQLite ledger, where no other is named."""
        return self.path / LEDGER

    @property
    def shards(self) -> Path:
        """Where shards have folders of their own, by number; absent while there is one shard, which has this folder."""
        return self.path / SHARDS

    def shard_numbers(self) -> list[int]:
        """Of those that have a folder of their own."""
        found = self.shards.iterdir() if self.shards.exists() else ()
        return sorted(int(each.name) for each in found if each.name.isdecimal())

    def shard(self, number: int, count: int) -> Path:
        """The folder of one of so many shards."""
        return self.path if count == 1 else shard_folder(self.path, number)

    @property
    def lacks_ledger(self) -> bool:
        """Whether its SQLite ledger is gone, which it has had."""
        return bool(self.manifest.state.turn or self.shards.exists()) and not self.ledger.exists()

    @property
    def ledger_url(self) -> URL:
        """The SQLite ledger, as a database URL."""
        return ledger_in(self.path)

    def announce(self, url: str) -> None:
        """Writes down where this process serves the folder, for whoever finds it in use."""
        address = self.path / _ADDRESS
        address.touch(0o600)
        address.write_text(f"{os.getpid()} {url}", "ascii", "backslashreplace")

    def close(self) -> None:
        """Lets another process have the folder."""
        self._lock.close()


def moved_by(path: Path) -> str | None:
    """The migration by which a folder has moved into a cluster; None when it has not."""
    marker = path / MOVED
    return marker.read_text("ascii", "replace")[:100] if marker.exists() else None


def shard_folder(path: Path, shard: int) -> Path:
    """The folder of one of several shards."""
    return path / SHARDS / str(shard)


def ledger_in(path: Path) -> URL:
    """The SQLite ledger of a data folder, as a database URL."""
    return URL.create("sqlite", database=str(path / LEDGER))


def keep_private(folder: Path) -> None:
    """Nobody else may read it, a folder that was made beforehand too; new files in it are private as well."""
    os.umask(0o077)
    if stat.S_IMODE(folder.stat().st_mode) & 0o077:
        try:
            folder.chmod(0o700)
        except OSError as wrong:
            _log.warning("others on this machine may read the data folder", folder=str(folder), reason=wrong.strerror)


def _announced(folder: Path, holder: str) -> str | None:
    """Where a process serves the folder; None when it has not said so."""
    address = folder / _ADDRESS
    process, _, url = (address.read_text("ascii", "replace") if address.exists() else "").partition(" ")
    return url[:200] if process == holder and url else None

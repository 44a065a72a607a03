"""The data folder: who may use it, and which version of Meterhouse wrote it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

from sqlalchemy import URL

from ..domain.errors import FolderError

FORMAT = 2
"""Version of the folder's layout; raised when an older Meterhouse could not read what a newer one writes. 2 has the
journal, which an older one would leave unread."""
_READ_AS_IT_IS = ("1",)
"""Older layouts that lack what has been added, and nothing else."""

LEDGER = "ledger.sqlite"
_ADDRESS = "address"


class DataFolder:
    """A folder held by this process until it is closed or the process ends, however it ends."""

    def __init__(self, path: Path):
        """Takes the folder, making it when there is none. Raises `FolderError` when it cannot be had."""
        self.path = path
        try:
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._lock = self._acquire(path / "lock")
        except OSError as wrong:
            raise FolderError(
                f"the data folder {path} cannot be used: {wrong.strerror}; name another with --data"
            ) from None
        try:
            self._check_format(path / "format")
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

    @staticmethod
    def _check_format(format_path: Path) -> None:
        written = format_path.read_text("ascii", "replace").strip() if format_path.exists() else ""
        if not written or written in _READ_AS_IT_IS:
            unfinished = format_path.with_suffix(".new")  # renamed when it is whole, whatever happens meanwhile
            with unfinished.open("wb") as file:
                file.write(str(FORMAT).encode())
                file.flush()
                os.fsync(file.fileno())
            unfinished.replace(format_path)
            sync_folder(format_path.parent)
        elif written != str(FORMAT):
            raise FolderError(
                f"{format_path.parent} was written in data format {written[:20]}, this version reads {FORMAT}: "
                "use the version of meterhouse that wrote it, or a newer one"
            )

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
    def ledger_url(self) -> URL:
        """The SQLite ledger, as a database URL."""
        return URL.create("sqlite", database=str(self.path / LEDGER))

    def announce(self, url: str) -> None:
        """Writes down where this process serves the folder, for whoever finds it in use."""
        address = self.path / _ADDRESS
        address.touch(0o600)
        address.write_text(f"{os.getpid()} {url}", "ascii", "backslashreplace")

    def close(self) -> None:
        """Lets another process have the folder."""
        self._lock.close()


def _announced(folder: Path, holder: str) -> str | None:
    """Where a process serves the folder; None when it has not said so."""
    address = folder / _ADDRESS
    process, _, url = (address.read_text("ascii", "replace") if address.exists() else "").partition(" ")
    return url[:200] if process == holder and url else None


def sync_folder(folder: Path) -> None:
    """Makes what was created, renamed or removed in a folder last."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)

"""A spool: events that survive a crash of the process, in a file of SQLite, and are sent by the next one."""

from __future__ import annotations

import ctypes
import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from .errors import SpoolError
from .events import Event

VERSION = 1


class Spool:
    """Has every event that was recorded and not yet settled. One process has it at a time."""

    def __init__(self, path: str | Path):
        """Opens it, or makes it. Raises `SpoolError`."""
        self._path = Path(path)
        self._lock = threading.Lock()
        self._file = self._opened()

    def _opened(self) -> sqlite3.Connection:
        try:
            file = sqlite3.connect(self._path, check_same_thread=False, isolation_level=None, timeout=1)
        except sqlite3.Error as failure:
            raise SpoolError(f"the spool {self._path} cannot be opened: {failure}") from None
        try:
            # A crash of the process loses nothing that was written; only of the machine might it lose the newest.
            for pragma in ("locking_mode=EXCLUSIVE", "journal_mode=WAL", "synchronous=OFF"):
                file.execute(f"PRAGMA {pragma}").fetchall()
            file.execute("BEGIN IMMEDIATE")
            [version] = file.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise SpoolError(
                    f"the spool {self._path} was written by another version of meterhouse-client ({version}, this one "
                    f"has {VERSION}): send it with that one, or name another file"
                )
            file.execute(
                "CREATE TABLE IF NOT EXISTS events (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, "
                "organization TEXT NOT NULL, body BLOB NOT NULL)"
            )
            file.execute(f"PRAGMA user_version={VERSION}")
            file.execute("COMMIT")
        except SpoolError:
            file.close()
            raise
        except sqlite3.OperationalError as failure:
            file.close()
            if "locked" in str(failure):
                raise SpoolError(f"another process has the spool {self._path}: give each its own file") from None
            raise SpoolError(f"the spool {self._path} cannot be used: {failure}") from None
        except sqlite3.DatabaseError as failure:
            file.close()
            raise SpoolError(f"{self._path} is no spool: {failure}") from None
        return file

    def left(self) -> list[tuple[int, Event]]:
        """What an earlier process has not settled, with its numbers, in its order."""
        with self._lock:
            rows = self._file.execute("SELECT number, id, organization, body FROM events ORDER BY number").fetchall()
        return [(number, Event(name, organization, body)) for number, name, organization, body in rows]

    def add(self, event: Event) -> int:
        """Writes an event down, and answers its number. Raises `SpoolError`."""
        try:
            with self._lock:
                row = (event.id, event.organization, event.body)
                added = self._file.execute("INSERT INTO events (id, organization, body) VALUES (?, ?, ?)", row)
                return int(added.lastrowid or 0)
        except sqlite3.Error as failure:
            raise SpoolError(f"the spool {self._path} cannot be written: {failure}") from None

    def settle(self, numbers: Sequence[int]) -> None:
        """Forgets events that the server has answered for."""
        with self._lock:
            self._file.execute("BEGIN")
            self._file.executemany("DELETE FROM events WHERE number = ?", [(number,) for number in numbers])
            self._file.execute("COMMIT")

    def abandon(self) -> None:
        """In a process that was forked: keeps SQLite from closing, now or at the end, what the parent has open, because
        that takes away the parent's write-ahead log, with what it has not yet put in the file."""
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._file))

    def close(self) -> None:
        """Lets the next process have it."""
        with self._lock:
            self._file.close()

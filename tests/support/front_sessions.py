"""The connections to the embedded engine that the front of `clickhouse_front` serves requests with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import chdb

_OPENED_WITH = "?tables_loader_foreground_pool_size=1"  # see `chdb_engine`

State = tuple[str, tuple[tuple[str, str], ...]]
"""The current database of a connection to the engine, and its settings."""
_NEW: State = ("", ())


class Sessions:
    """Connections to the engine. Each serves one request at a time, and has nothing of another left. Those of named
    sessions keep what was set and made in them."""

    def __init__(self, data: Path):
        self._data = data
        self._lock = threading.Lock()
        self._idle: list[tuple[State, Any]] = [(_NEW, self._connect())]
        self._named: dict[str, tuple[Any, threading.Lock]] = {}

    @contextmanager
    def take(self, session: str, wanted: State, *, lasts: bool) -> Iterator[Any]:
        """A connection for one request, which may do what lasts as long as its connection."""
        if session:
            with self._lock:
                if session not in self._named:
                    self._named[session] = self._connect(), threading.Lock()
                connection, alone = self._named[session]
            with alone:
                _set(connection, _NEW, wanted)
                yield connection
            return
        with self._lock:
            fitting = [number for number, (state, _) in enumerate(self._idle) if state == wanted]
            idle = self._idle.pop(fitting[-1] if fitting else 0) if self._idle else None
        state, connection = idle or (_NEW, self._connect())
        as_wanted = False
        try:
            if state != wanted:
                _set(connection, state, wanted)
            as_wanted = not lasts
            yield connection
        finally:
            if as_wanted:
                with self._lock:
                    self._idle.append((wanted, connection))
            else:
                connection.close()

    def _connect(self) -> Any:
        return chdb.connect(f"{self._data}{_OPENED_WITH}")


def _set(connection: Any, old: State, new: State) -> None:
    if old[1]:
        connection.query(f"SET {', '.join(f'{name} = DEFAULT' for name, _ in old[1])}")
    if old[0] != new[0]:
        connection.query(f"USE `{new[0] or 'default'}`")
    if new[1]:
        connection.query(f"SET {', '.join(f'{name} = {_quoted(value)}' for name, value in new[1])}")


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"

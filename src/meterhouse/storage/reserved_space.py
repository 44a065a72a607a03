"""Disk space that is kept for what must be written when there is no other."""

from __future__ import annotations

import os
import threading
from pathlib import Path

_RESERVED_BYTES = 16 * 1024 * 1024
"""More than the engine makes of what waits in the journal at most, and than revoking a key takes."""


class ReservedSpace:
    """A file that does nothing but take space. May be used from many threads."""

    def __init__(self, path: Path):
        self._path = path
        self._lock = threading.Lock()
        self._taken = path.exists() and path.stat().st_size == _RESERVED_BYTES

    def take(self) -> None:
        """Raises `OSError` when there is not so much."""
        if self._taken:
            return
        with self._lock, self._path.open("wb") as file:
            try:
                os.posix_fallocate(file.fileno(), 0, _RESERVED_BYTES)
            except AttributeError:  # macOS lacks it
                file.write(bytes(_RESERVED_BYTES))
            self._taken = True

    def give(self) -> bool:
        """Whether there was something to give."""
        with self._lock:
            given, self._taken = self._taken, False
            self._path.unlink(missing_ok=True)
        return given

"""Reading a table beside a change of it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedTable:
    """Many read a table at once. A change waits for those who read, and those who come after it wait for the change:
    what is read beside a watermark is what that watermark says."""

    def __init__(self) -> None:
        self._turn = threading.Condition()
        self._readers = 0
        self._changing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """While nothing changes."""
        with self._turn:
            self._turn.wait_for(lambda: not self._changing)
            self._readers += 1
        try:
            yield
        finally:
            with self._turn:
                self._readers -= 1
                self._turn.notify_all()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """While nobody reads."""
        with self._turn:
            self._turn.wait_for(lambda: not self._changing)
            self._changing = True
            self._turn.wait_for(lambda: not self._readers)
        try:
            yield
        finally:
            with self._turn:
                self._changing = False
                self._turn.notify_all()

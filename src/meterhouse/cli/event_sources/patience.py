"""How a source waits for what does not answer, and says so once."""

from __future__ import annotations

import threading

from ..ingesting.refusals import note


class Patience:
    """Waits, unless the command is to end or does not go on by itself."""

    def __init__(self, stopping: threading.Event, seconds: int, *, goes_on: bool):
        self._stopping = stopping
        self._seconds = seconds
        self._goes_on = goes_on
        self._told = ""

    def once_more(self, why: str) -> bool:
        """Says why, when it is something new, and waits. Whether to try again."""
        if not self._goes_on or self._stopping.is_set():
            return False
        self.tell(f"{why}; it is tried again every {self._seconds} s")
        return not self._stopping.wait(self._seconds)

    def tell(self, text: str) -> None:
        """Says something that was not just said."""
        if text != self._told:
            note(text)
        self._told = text

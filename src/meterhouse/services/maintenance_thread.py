"""What is to be done once in a while, whoever asks or does not ask."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from typing import TypeAlias

import structlog

_INTERVAL_SECONDS = 3600

_log = structlog.get_logger(__name__)

Task: TypeAlias = Callable[[], Iterator[None]]
"""Does what is due, and pauses where it may be left for the next time."""


class MaintenanceThread:
    """A thread that does some tasks once in an interval."""

    def __init__(self, tasks: Sequence[Task]):
        """Does them for the first time at once."""
        self._tasks = tasks
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meterhouse-upkeep", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends at the next pause."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        while True:
            for task in self._tasks:
                try:
                    for _ in task():
                        if self._closing.is_set():
                            return
                except Exception as failure:  # noqa: BLE001 - what is left is done the next time
                    _log.error("upkeep failed; trying again in an hour", exc_info=failure)
            if self._closing.wait(_INTERVAL_SECONDS):
                return

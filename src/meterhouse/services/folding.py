"""Keeping rollups close behind the events, so that a summary costs the same however many events there are."""

from __future__ import annotations

import threading
import time

import structlog

from ..ports import EventStore

_SECOND_NS = 1_000_000_000

_log = structlog.get_logger(__name__)


class Folding:
    """A thread that folds what was committed an interval ago: by then nobody reads an older state.

    After a fold it rests as long as the fold took, a quarter of that while it is behind, so that others get their turn.
    """

    def __init__(self, store: EventStore, interval_seconds: int):
        """Begins at once."""
        self._store = store
        self._interval_seconds = interval_seconds
        self._closing = threading.Event()
        self._folder = threading.Thread(target=self._fold, name="meterhouse-folder", daemon=True)
        self._folder.start()

    def close(self) -> None:
        """Ends after what is being folded. What is left is folded after the next start."""
        self._closing.set()
        self._folder.join()

    def _fold(self) -> None:
        interval_ns = self._interval_seconds * _SECOND_NS
        settled = latest = self._store.latest_commit()
        more, rest_ns = False, 0
        while not self._closing.wait((rest_ns // 4 if more else max(rest_ns, interval_ns)) / _SECOND_NS):
            began_ns = time.monotonic_ns()
            if not more:
                settled, latest = latest, self._store.latest_commit()
            try:
                more = self._store.fold(settled)
            except Exception as failure:  # noqa: BLE001 - answers stay right without; the gauge shows what waits
                _log.error("rollups could not be folded; trying again", exc_info=failure)
                more = False
            try:
                self._store.checkpoint()
            except Exception as failure:  # noqa: BLE001 - only the next start is slower without
                _log.error("what makes the next start fast could not be saved; trying again", exc_info=failure)
            rest_ns = time.monotonic_ns() - began_ns

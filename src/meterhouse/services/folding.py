"""Keeping rollups close behind the events, so that a summary costs the same however many events there are."""

from __future__ import annotations

import threading
import time

import structlog

from ..ports import EventStore

_SECOND_NS = 1_000_000_000
_REST = 4
"""How many times as long as the last fold took there is no other while events keep coming, and"""
_LONGEST_REST_NS = 5 * _SECOND_NS
"""for how long at most."""

_log = structlog.get_logger(__name__)


class Folding:
    """A thread that folds what was committed an interval ago: by then nobody reads an older state.

    Much of what a fold takes is the same however few events it has. While events keep coming it therefore rests longer
    than the last one took, as far as what waits stays cheap to read; once none came for an interval it folds at once.
    """

    def __init__(self, store: EventStore, interval_seconds: int):
        """Begins at once."""
        self._store = store
        self._interval_seconds = interval_seconds
        self._closing = threading.Event()
        self._folder = threading.Thread(target=self._fold, name="meterhouse-folder", daemon=True)
        self._folder.start()

    def close(self) -> None:
        """What is left is folded after the next start."""
        self._closing.set()
        self._store.interrupt()
        self._folder.join()

    def _fold(self) -> None:
        settled = latest = self._store.latest_commit()
        more, took_ns, ended_ns = False, 0, time.monotonic_ns()
        while not self._closing.wait(
            min(took_ns / 4, _LONGEST_REST_NS) / _SECOND_NS if more else self._interval_seconds
        ):
            began_ns = time.monotonic_ns()
            if not more:
                settled, latest = latest, self._store.latest_commit()
                if settled != latest and began_ns - ended_ns < min(_REST * took_ns, _LONGEST_REST_NS):
                    continue
            try:
                more = self._store.fold(settled)
            except Exception as failure:  # noqa: BLE001 - answers stay right without; the gauge shows what waits
                _log.error("rollups could not be folded; trying again", exc_info=failure)
                more = False
            try:
                self._store.checkpoint()
            except Exception as failure:  # noqa: BLE001 - only the next start is slower without
                _log.error("what makes the next start fast could not be saved; trying again", exc_info=failure)
            ended_ns = time.monotonic_ns()
            took_ns = ended_ns - began_ns

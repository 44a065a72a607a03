"""Keeping rollups close behind the events, so that a summary costs the same however many events there are."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import structlog

from ..domain.meter import Meter
from ..ports.event_store import EventStore

_SECOND_NS = 1_000_000_000
_WAITING_EVENTS = 50_000
"""Materialization begins when so many events wait for it, or"""
_WAITING_NS = 10 * _SECOND_NS
"""when one has waited so long, or when no event came for an interval."""
_REST = 4
"""While events keep coming the worker rests this many times as long as the last materialization took, and"""
_LONGEST_REST_NS = 5 * _SECOND_NS
"""never longer than this."""
_NO_REST_EVENTS = 100_000
"""It does not rest while so many wait: the memtable must not lose any before they are materialized, because reads would
take them from the engine then."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Sample:
    """What was committed at a moment."""

    commit: int
    events: int
    """How many events were stored since the start."""
    at_ns: int


class RollupWorker:
    """A thread that materializes what was committed an interval ago: by then nobody reads an older state.

    Much of what a materialization takes is the same however few events it has. It therefore goes by how many events
    wait and for how long; meanwhile reads take them from memory.
    """

    def __init__(self, store: EventStore, meters: Callable[[], Mapping[str, tuple[Meter, ...]]], interval_seconds: int):
        """Begins at once. `meters` tells, by namespace, what there are rollups for."""
        self._store = store
        self._meters = meters
        self._interval_seconds = interval_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._materialize, name="meterhouse-rollups", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """The next start materializes what is left."""
        self._closing.set()
        self._store.interrupt()
        self._thread.join()

    def _sample(self) -> _Sample:
        return _Sample(self._store.latest_commit(), self._store.stored_events(), time.monotonic_ns())

    def _materialize(self) -> None:
        settled = latest = self._sample()
        oldest_ns, ended_ns, took_ns = latest.at_ns, latest.at_ns, 0
        done = latest.events - _WAITING_EVENTS  # the last process may have left any number of events
        more = False
        while not self._closing.wait(
            min(took_ns / 4, _LONGEST_REST_NS) / _SECOND_NS if more else self._interval_seconds
        ):
            if not more:
                settled, latest = latest, self._sample()
                if settled.events == done:
                    oldest_ns = latest.at_ns  # nothing waits
                idle = settled.commit == latest.commit
                waiting = settled.events - done
                due = waiting >= _WAITING_EVENTS or latest.at_ns - oldest_ns >= _WAITING_NS
                rested = latest.at_ns - ended_ns >= min(_REST * took_ns, _LONGEST_REST_NS)
                if not idle and not (due and (rested or waiting >= _NO_REST_EVENTS)):
                    continue
            began_ns = time.monotonic_ns()
            try:
                self._store.define(self._meters())
                more = self._store.materialize(settled.commit)
                done, oldest_ns = settled.events, settled.at_ns
            except Exception as failure:  # noqa: BLE001 - answers stay right without; the gauge shows what waits
                _log.error("rollups could not be materialized; trying again", exc_info=failure)
                more = False
            try:
                self._store.checkpoint()
            except Exception as failure:  # noqa: BLE001 - only the next start is slower without
                _log.error("what makes the next start fast could not be saved; trying again", exc_info=failure)
            ended_ns = time.monotonic_ns()
            took_ns = ended_ns - began_ns

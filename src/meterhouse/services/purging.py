"""Removing what deleted organizations left, when the time to take it back is over."""

from __future__ import annotations

import threading
from datetime import timedelta

import structlog

from ..domain.erasure import REMOVAL, REMOVALS
from ..domain.event import Event
from ..ports import Clock, EventStore, Ledger
from .ingest import Ingest

_INTERVAL_SECONDS = 3600

_log = structlog.get_logger(__name__)


class Purging:
    """A thread that looks once in an interval for organizations that were deleted long enough ago."""

    def __init__(self, store: EventStore, ingest: Ingest, ledger: Ledger, clock: Clock, grace: timedelta):
        """Looks for the first time at once."""
        self._ingest = ingest
        self._store = store
        self._ledger = ledger
        self._clock = clock
        self._grace = grace
        self._closing = threading.Event()
        self._purger = threading.Thread(target=self._purge, name="meterhouse-purger", daemon=True)
        self._purger.start()

    def close(self) -> None:
        """Ends after what is being removed."""
        self._closing.set()
        self._purger.join()

    def _purge(self) -> None:
        while True:
            try:
                self._purge_due()
            except Exception as failure:  # noqa: BLE001 - what is left is removed the next time
                _log.error("events of deleted organizations could not be removed; trying again", exc_info=failure)
            if self._closing.wait(_INTERVAL_SECONDS):
                return

    def _purge_due(self) -> None:
        now = self._clock.now()
        for organization in self._ledger.purgeable(now - self._grace):
            if self._closing.is_set():
                return
            told = Event(organization.namespace, REMOVALS, organization.id, REMOVAL, organization.id, now, b"{}", {})
            self._ingest.store([told]).result()  # first: there is no commit after it that is forgotten
            removed = self._store.remove(organization.namespace, organization.id)
            self._ledger.mark_purged(organization.id, now)
            _log.warning("events of a deleted organization removed", organization=organization.id, events=removed)

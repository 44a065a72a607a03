"""Removing what deleted organizations left, when the time to take it back is over."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from ..domain.erasure import REMOVAL, REMOVALS
from ..domain.event import Event
from ..domain.shards import Seat
from ..ports.clock import Clock
from ..ports.event_store import EventStore
from ..ports.ledger import Ledger
from .ingest import Ingest

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Purging:
    """Removes the events of organizations that were deleted long enough ago."""

    store: EventStore
    ingest: Ingest
    ledger: Ledger
    clock: Clock
    grace: timedelta
    seat: Seat = field(default_factory=Seat)

    def purge_due(self) -> Iterator[None]:
        """Pauses before each organization."""
        now = self.clock.now()
        for organization in self.ledger.purgeable(now - self.grace):
            if not self.seat.has(organization.namespace, organization.id):
                continue
            yield
            told = Event(organization.namespace, REMOVALS, organization.id, REMOVAL, organization.id, now, b"{}", {})
            self.ingest.record([told])  # first: there is no commit after it that is forgotten
            removed = self.store.remove(organization.namespace, organization.id)
            self.ledger.mark_purged(organization.id, now)
            _log.warning("events of a deleted organization removed", organization=organization.id, events=removed)

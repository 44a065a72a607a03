"""What is known in memory of an organization's limits: what was used in some windows, and what is held."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from ...domain.event import Event
from ...domain.limit_rule import Limited
from ...domain.period import Period
from ...domain.quantity import EXACT, ZERO, add, subtract
from ...domain.reservation import Close, Reservation

Part: TypeAlias = tuple[str, str | None, str]
"""A meter or a pool, and a property with one of its values; None and nothing for all of it."""


@dataclass(slots=True)
class UsedCounter:
    """What was used of a part of a meter, or of a pool, in a window."""

    limited: Limited
    per: str | None
    text: str
    window: Period
    used: Decimal

    def add(self, event: Event) -> None:
        """Counts an event, where it is of this part and window."""
        if event.type not in self.limited.event_types or not self.window.contains(event.time):
            return
        if self.per is None or self.limited.text_of(event, self.per) == self.text:
            self.used = add((self.used, self.limited.taken_by(event)))


@dataclass(slots=True)
class QuotaState:
    """Of one organization. Reservations that have expired are dropped when `expire` is told the time."""

    counters: dict[tuple[Part, datetime | None], UsedCounter] = field(default_factory=dict)
    known_commit: int = 0
    """They have everything up to this commit, and what was granted since."""
    reservations: dict[str, Reservation] = field(default_factory=dict)
    """The open ones."""
    held: dict[Part, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    closed: dict[str, Close] = field(default_factory=dict)
    """How reservations ended that had not expired yet."""
    _ends: list[tuple[datetime, str]] = field(default_factory=list)

    def hold(self, reservation: Reservation) -> None:
        """Holds what is reserved."""
        self.reservations[reservation.id] = reservation
        heapq.heappush(self._ends, (reservation.expires_at, reservation.id))
        for part in parts_of(reservation):
            self.held[part] = add((self.held[part], reservation.amount))

    def held_of(self, limited: Limited, per: str | None, text: str) -> Decimal:
        """What is held of a part: of a pool also through the meters that draw on it, by their rates of now."""
        own = self.held.get((limited.slug, per, text), ZERO)
        others = (
            EXACT.multiply(rate, self.held.get((meter.slug, per, text), ZERO))
            for meter, rate in limited.draws
            if meter.slug != limited.slug
        )
        return add((own, *others))

    def close(self, close: Close) -> None:
        """Lets go of what is reserved."""
        self._let_go(close.reservation)
        self.closed[close.reservation] = close

    def _let_go(self, reservation_id: str) -> None:
        reservation = self.reservations.pop(reservation_id)
        for part in parts_of(reservation):
            self.held[part] = subtract(self.held[part], reservation.amount)
            if self.held[part] == ZERO:
                del self.held[part]

    def expire(self, now: datetime) -> None:
        """Lets go of what has expired."""
        while self._ends and self._ends[0][0] <= now:
            _, reservation_id = heapq.heappop(self._ends)
            self.closed.pop(reservation_id, None)
            known = self.reservations.get(reservation_id)
            if known is not None and known.expires_at <= now:
                self._let_go(reservation_id)


def parts_of(reservation: Reservation) -> Iterable[Part]:
    """What a reservation holds a part of."""
    yield reservation.meter, None, ""
    for per, text in reservation.properties.items():
        yield reservation.meter, per, text

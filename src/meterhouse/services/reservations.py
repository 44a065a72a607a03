"""Reserving amounts before they are used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from ..domain.decision import Decision
from ..domain.errors import Invalid
from ..domain.event import Event
from ..domain.event_parser import EventParser
from ..domain.organization import Organization
from ..domain.quantity import ZERO, parse_quantity, plain
from ..domain.reservation import LONGEST, Reservation
from ..ports.clock import Clock
from .catalogs import Catalogs
from .enforcement import Enforcement
from .ingest import Ingest

_MOST_PROPERTIES = 8
_LONGEST_TEXT = 512


@dataclass(frozen=True, slots=True)
class Reservations:
    """Asks for room, holds it, uses it and lets it go. All methods raise `Elsewhere` for organizations of other
    shards. What is in a future is durable when it is there."""

    enforcement: Enforcement
    ingest: Ingest
    catalogs: Catalogs
    clock: Clock
    random_id: Callable[[], str]

    def check(self, organization: Organization, meter: str, amount: Decimal, properties: Mapping[str, str]) -> Decision:
        """Whether there is room for an amount now; nothing is held. Raises `NotFound` and `Invalid`."""
        _check(amount, properties)
        return self.enforcement.check(organization, meter, amount, properties)

    def check_at_once(
        self, organization: Organization, meter: str, amount: Decimal, properties: Mapping[str, str]
    ) -> Decision | None:
        """The same from memory, without waiting for anything; None where that is not possible."""
        _check(amount, properties)
        return self.enforcement.check_at_once(organization, meter, amount, properties)

    def reserve(
        self,
        organization: Organization,
        meter: str,
        amount: Decimal,
        properties: Mapping[str, str],
        *,
        reservation_id: str | None,
        expires_in: timedelta,
    ) -> Future[Reservation]:
        """Holds an amount. With an id it can be repeated. Raises `NotFound` and `Invalid`, and in the future
        `QuotaExceeded`, and `AlreadyExists` for an id that something else has."""
        _check(amount, properties)
        if not timedelta(seconds=1) <= expires_in <= LONGEST:
            raise Invalid(f"expires_in_seconds must be from 1 to {LONGEST // timedelta(seconds=1)}")
        self.enforcement.asked(organization, meter)  # before anything waits
        now = self.clock.now()
        wanted = Reservation(reservation_id or self.random_id(), meter, amount, dict(properties), now, now + expires_in)
        return self.ingest.decide(lambda enforcement: enforcement.reserve(organization, wanted))

    def commit(
        self, organization: Organization, reservation_id: str, raw: bytes, amount: Decimal | None
    ) -> Future[Event]:
        """Stores the event that uses what is reserved, and lets go of the rest; repeatable with the same event. Raises
        `Rejected` for an event that cannot be taken, and in the future `NotFound`, `ReservationClosed` and
        `ReservationMismatch`."""
        self.enforcement.check_seat(organization)
        catalog = self.catalogs.get(organization.namespace)
        event = EventParser(catalog.namespace, catalog.meters_by_event_type).parse(raw, self.clock.now())
        if event.organization != organization.id:
            raise Invalid(f"event: its subject is {event.organization[:60]!r}, and not {organization.id!r}")
        return self.ingest.decide(lambda enforcement: enforcement.commit(organization, reservation_id, event, amount))

    def release(self, organization: Organization, reservation_id: str) -> Future[None]:
        """Lets go of what is reserved. Nothing happens where that is so already. Raises `NotFound` in the future."""
        self.enforcement.check_seat(organization)
        return self.ingest.decide(lambda enforcement: enforcement.release(organization, reservation_id))


def _check(amount: Decimal, properties: Mapping[str, str]) -> None:
    parse_quantity(str(plain(amount)))  # neither too many digits nor too many places
    if amount <= ZERO:
        raise Invalid(f"amount must be more than 0, not {amount}")
    if len(properties) > _MOST_PROPERTIES or any(len(text) > _LONGEST_TEXT for text in properties.values()):
        raise Invalid(f"for has at most {_MOST_PROPERTIES} properties, of at most {_LONGEST_TEXT} characters")

"""Deciding what there is room for, in the order of commits.

All that changes anything is called by the one thread that commits, right before the commit: what it grants is in that
commit, or in none. Anybody may ask.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal

from ...domain.decision import Decision, LimitState, window_at
from ...domain.errors import AlreadyExists, Invalid, NotFound
from ...domain.event import SYSTEM_PREFIX, Event
from ...domain.limit_rule import ENFORCED, Limited
from ...domain.organization import Organization
from ...domain.period import format_instant
from ...domain.quantity import EXACT, ZERO, subtract
from ...domain.reservation import (
    SOURCE,
    Close,
    Closing,
    Reservation,
    close_of,
    closing_event,
    event_of,
    reservation_of,
)
from ...ports.clock import Clock
from ...ports.event_store import EventStore
from ..catalogs import Catalogs
from ..usage import Usage
from .errors import QuotaExceeded, ReservationClosed, ReservationMismatch, explained
from .quotas import NotInMemory, Quotas

_MOST_VALUES = 10


class Enforcement:
    """Holds organizations to the limits of their plans."""

    def __init__(self, store: EventStore, usage: Usage, catalogs: Catalogs, clock: Clock):
        self._store = store
        self._usage = usage
        self._catalogs = catalogs
        self._quotas = Quotas(store, usage, catalogs, clock)
        self.on_decision: Callable[[str, str, Decision], None] = lambda _namespace, _meter, _decision: None
        """Is told of each decision that counts: the namespace, the meter, and what was decided."""

    def check(self, organization: Organization, slug: str, amount: Decimal, properties: Mapping[str, str]) -> Decision:
        """Whether there is room for an amount of a meter or a pool now; nothing is held. Raises `NotFound` for an
        unknown one, `Invalid` for a meter that cannot be held to a limit, and `Elsewhere`."""
        asked = self.asked(organization, slug)
        with self._quotas.lock:
            return self._quotas.decide(organization, asked, amount, properties)

    def check_at_once(
        self, organization: Organization, slug: str, amount: Decimal, properties: Mapping[str, str]
    ) -> Decision | None:
        """The same, without waiting for anything; None where that is not possible."""
        asked = self.asked(organization, slug)
        if not self._quotas.lock.acquire(blocking=False):
            return None
        try:
            return self._quotas.decide(organization, asked, amount, properties, from_memory=True)
        except NotInMemory:
            return None
        finally:
            self._quotas.lock.release()

    def check_seat(self, organization: Organization) -> None:
        """Raises `Elsewhere` for an organization of another shard."""
        self._usage.seat.check(organization.namespace, organization.id)

    def asked(self, organization: Organization, slug: str) -> tuple[tuple[Limited, Decimal], ...]:
        """The meter or pool of that name, and the pools that a meter draws on, with what one unit takes of each. Raises
        as `check` does."""
        self.check_seat(organization)
        catalog = self._catalogs.get(organization.namespace)
        if (limited := catalog.limited.get(slug)) is None:
            meter = self._catalogs.meter(organization.namespace, slug)
            raise Invalid(
                f"meter: {slug!r} is a {meter.aggregation}, of which an event does not add what it has: only "
                f"{' and '.join(sorted(ENFORCED))} can be held to a limit event by event"
            )
        return ((limited, Decimal(1)), *catalog.drawn_on.get(slug, ()))

    def open_reservations(self, organization: Organization) -> list[Reservation]:
        """Those that hold something now, by when they expire. Raises `Elsewhere`."""
        self.check_seat(organization)
        with self._quotas.lock:
            state = self._quotas.state(organization.namespace, organization.id)
            return sorted(state.reservations.values(), key=lambda each: (each.expires_at, each.id))

    def limits(self, organization: Organization) -> list[LimitState]:
        """Every limit as it is now; of one by a property, that of each of the values that have used most. Raises
        `Elsewhere`."""
        self.check_seat(organization)
        reader, found = self._usage.of(organization), list[LimitState]()
        for limited in self._catalogs.get(organization.namespace).limited.values():
            for rule in self._quotas.rules(organization, limited.slug):
                properties: list[dict[str, str]] = [{}]
                if rule.per is not None:
                    window = window_at(rule.window, reader.subscription, reader.now)
                    largest = reader.top([limited.slug], window, rule.per, _MOST_VALUES)
                    properties = [{rule.per: text} for text, _ in largest]
                for named in properties:
                    with self._quotas.lock:
                        told = self._quotas.decide(organization, ((limited, Decimal(1)),), ZERO, named)
                    found += [state for state in told.limits if state.rule == rule]
        return found

    # What follows is for the thread that commits.

    def reserve(self, organization: Organization, wanted: Reservation) -> tuple[Reservation, list[Event]]:
        """The reservation, and the event that makes it; none where it is made already. Raises `QuotaExceeded`, and
        `AlreadyExists` when one of the same id is another."""
        namespace = organization.namespace
        asked = self.asked(organization, wanted.meter)
        made = event_of(wanted, namespace, organization.id)
        with self._quotas.lock:
            known = self._quotas.state(namespace, organization.id).reservations.get(wanted.id)
            if known is None and (stored := self._store.known([made])[0]) is not None:
                known = reservation_of(stored)
            if known is not None:
                if not known.same_as(wanted):
                    raise AlreadyExists(f"there is another reservation {wanted.id!r}: give this one another id")
                return known, []
            decision = self._quotas.decide(organization, asked, wanted.amount, wanted.properties)
            self.on_decision(namespace, wanted.meter, decision)
            if (refused_by := decision.refused_by) is not None:
                raise QuotaExceeded(refused_by)
            self._quotas.decided(namespace, organization.id).hold(wanted)
        return wanted, [made]

    def commit(
        self, organization: Organization, reservation_id: str, event: Event, amount: Decimal | None
    ) -> tuple[Event, list[Event]]:
        """The event that uses what was reserved, and the one that ends the reservation; the event alone where that was
        done with it. Raises `NotFound`, `ReservationClosed` and `ReservationMismatch`."""
        namespace = organization.namespace
        with self._quotas.lock:
            now = self._quotas.now()
            reservation = self._quotas.state(namespace, organization.id).reservations.get(reservation_id)
            if reservation is None:
                self._refuse_unless_committed_with(organization, reservation_id, event)
                return event, [event]
            held = self._refuse_other_than_reserved(organization, reservation, event, amount)
            stored = self._store.known([event])[0]
            if stored is not None and not stored.same_content(event):
                raise ReservationMismatch("event: another of the same source and id is stored")
            close = Close(reservation_id, Closing.COMMITTED, event.name)
            fresh = stored is None and not self._quotas.is_granted(event.identity)
            if fresh and (refused_by := self._refusal(organization, event, held)) is not None:
                raise ReservationMismatch(f"event: it uses more than what is reserved, and {explained(refused_by)}")
            self._quotas.decided(namespace, organization.id, event if fresh else None).close(close)
        return event, [event, closing_event(close, namespace, organization.id, now)]

    def release(self, organization: Organization, reservation_id: str) -> tuple[None, list[Event]]:
        """The event that ends a reservation; none where it has ended. Raises `NotFound`."""
        namespace = organization.namespace
        with self._quotas.lock:
            now = self._quotas.now()
            state = self._quotas.state(namespace, organization.id)
            if reservation_id not in state.reservations:
                if reservation_id not in state.closed:
                    self._made(organization, reservation_id)
                return None, []
            close = Close(reservation_id, Closing.RELEASED)
            self._quotas.decided(namespace, organization.id).close(close)
        return None, [closing_event(close, namespace, organization.id, now)]

    def admit(self, namespace: str, events: Sequence[Event], refuse: Callable[[int, LimitState], None]) -> list[int]:
        """Which of some events there is room for, by their places, one after the other; `refuse` is told the others.
        What is stored already, or on its way, is not asked about."""
        admitted: list[int] = []
        with self._quotas.lock:
            known = self._store.known(events)
            for place, event in enumerate(events):
                fresh = known[place] is None and not self._quotas.is_granted(event.identity)
                if fresh and not event.type.startswith(SYSTEM_PREFIX):
                    organization = self._limited_organization(namespace, event)
                    if organization is not None and (refused_by := self._refusal(organization, event, {})) is not None:
                        refuse(place, refused_by)
                        continue
                    self._quotas.decided(namespace, event.organization, event)
                admitted.append(place)
        return admitted

    def stored(self, *, alone: bool) -> None:
        """What was decided is stored, `alone` or with events that nobody asked about."""
        with self._quotas.lock:
            self._quotas.stored(alone=alone)

    def failed(self) -> None:
        """Nobody knows what is stored of what was decided."""
        with self._quotas.lock:
            self._quotas.forget_all()

    def _limited_organization(self, namespace: str, event: Event) -> Organization | None:
        """Whose limits an event counts against; None where nobody knows the organization: it has none then."""
        organization = self._usage.ledger.organization(event.organization)
        return organization if organization is not None and organization.namespace == namespace else None

    def _refusal(self, organization: Organization, event: Event, held: Mapping[str, Decimal]) -> LimitState | None:
        """The limit that has no room for what an event takes beyond what is `held` for it; None when it is granted."""
        for limited in self._catalogs.get(organization.namespace).limited_by_event_type.get(event.type, ()):
            rules = self._quotas.rules(organization, limited.slug)
            properties = {rule.per: limited.text_of(event, rule.per) for rule in rules if rule.per is not None}
            amount = subtract(limited.taken_by(event), held.get(limited.slug, ZERO))
            if held and amount <= ZERO:
                continue
            asked = ((limited, Decimal(1)),)
            decision = self._quotas.decide(organization, asked, amount, properties, at=event.time)
            if not held:
                self.on_decision(organization.namespace, limited.slug, decision)
            if (refused_by := decision.refused_by) is not None:
                return refused_by
        return None

    def _refuse_other_than_reserved(
        self, organization: Organization, reservation: Reservation, event: Event, amount: Decimal | None
    ) -> dict[str, Decimal]:
        """How much is held of what for the event. Raises `ReservationMismatch` unless it is what was reserved, or less
        of it."""
        asked = self.asked(organization, reservation.meter)
        limited, _ = asked[0]
        taken = limited.taken_by(event)
        if event.type not in limited.event_types or taken > reservation.amount or amount not in (None, taken):
            raise ReservationMismatch(
                f"event: {reservation.amount} of {limited.slug} are reserved, and this one of type {event.type[:60]!r} "
                f"uses {taken}" + (f", not {amount}" if amount not in (None, taken) else "")
            )
        for name, text in reservation.properties.items():
            if limited.text_of(event, name) != text:
                raise ReservationMismatch(f"event: reserved for {name} {text[:60]!r}, and it has another")
        subscription, now = self._usage.ledger.subscription(organization.id), self._quotas.now()
        for rule in (rule for each, _ in asked for rule in self._quotas.rules(organization, each.slug)):
            if window_at(rule.window, subscription, event.time) != window_at(rule.window, subscription, now):
                raise ReservationMismatch("event: its time is in another window of the limit")
        return {each.slug: EXACT.multiply(reservation.amount, rate) for each, rate in asked}

    def _refuse_unless_committed_with(self, organization: Organization, reservation_id: str, event: Event) -> None:
        """Raises `NotFound` and `ReservationClosed` unless the reservation was committed with this event."""
        how = self._quotas.state(organization.namespace, organization.id).closed.get(reservation_id)
        if how is None:
            reservation = self._made(organization, reservation_id)
            closing = closing_event(
                Close(reservation_id, Closing.RELEASED), organization.namespace, organization.id, event.time
            )
            if (stored := self._store.known([closing])[0]) is None:
                raise ReservationClosed(
                    f"the reservation {reservation_id!r} has expired at {format_instant(reservation.expires_at)}"
                )
            how = close_of(stored)
        if how.event != event.name:
            raise ReservationClosed(f"the reservation {reservation_id!r} was {how.how} already")

    def _made(self, organization: Organization, reservation_id: str) -> Reservation:
        """A reservation, open or not. Raises `NotFound`."""
        identity = organization.namespace, organization.id, SOURCE, reservation_id
        found = self._store.find([identity])
        if not found:
            raise NotFound(f"there is no reservation {reservation_id[:60]!r} of {organization.id!r}")
        return reservation_of(found[0].event)

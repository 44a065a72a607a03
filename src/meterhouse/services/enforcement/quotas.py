"""What there is room for: limits, what was used of them, and what is held."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from datetime import datetime
from decimal import Decimal

from cachetools import LRUCache

from ...domain.decision import Decision, LimitState, decide, window_at
from ...domain.event import Event, Identity
from ...domain.limit_rule import Limited, LimitRule
from ...domain.listing import EventQuery
from ...domain.organization import Organization
from ...domain.period import Period
from ...domain.quantity import EXACT, ZERO, add
from ...domain.reservation import CLOSED, LONGEST, RESERVED, Reservation, close_of, reservation_of
from ...ports.clock import Clock
from ...ports.event_store import EventStore
from ..catalogs import Catalogs
from ..organization_usage import OrganizationUsage
from ..usage import Usage
from .quota_state import Part, QuotaState, UsedCounter

_MOST_STATES = 10_000
_PAGE = 5_000


class NotInMemory(Exception):
    """It would have to be read from the store."""


class Quotas:
    """What is known of organizations in memory; read from the store when it is first asked for. Hold `lock` for every
    call."""

    def __init__(self, store: EventStore, usage: Usage, catalogs: Catalogs, clock: Clock):
        self._store = store
        self._usage = usage
        self._catalogs = catalogs
        self._clock = clock
        self.lock = threading.RLock()
        self._states: LRUCache[tuple[str, str], QuotaState] = LRUCache(_MOST_STATES)
        self._latest = clock.now()
        self._granted: dict[Identity, Event] = {}
        """Usage that was granted since the last commit, and is on its way into the next one."""
        self._base = 0
        """The newest commit when the first of them was granted."""
        self._decided: set[tuple[str, str]] = set()
        """Organizations about which something was decided since then."""

    def now(self) -> datetime:
        """Never before a moment that was answered already: what has expired stays so."""
        self._latest = max(self._latest, self._clock.now())
        return self._latest

    def decided(self, namespace: str, organization: str, usage: Event | None = None) -> QuotaState:
        """Something is on its way into the next commit; the usage is counted already."""
        state = self.state(namespace, organization)
        if not self._decided:
            self._base = self._store.latest_commit()
        self._decided.add((namespace, organization))
        if usage is not None:
            self._granted[usage.identity] = usage
            for counter in state.counters.values():
                counter.add(usage)
        return state

    def is_granted(self, identity: Identity) -> bool:
        """Whether an event is on its way into the next commit."""
        return identity in self._granted

    def stored(self, *, alone: bool) -> None:
        """What was decided is stored. Unless it was `alone` in its commit, what was used is read again."""
        commit = self._store.latest_commit()
        for each in self._decided if alone else ():
            if (state := self._states.get(each)) is not None:
                state.known_commit = max(state.known_commit, commit)
        self._granted, self._decided = {}, set()

    def forget_all(self) -> None:
        """Nobody knows what is stored of what was decided."""
        self._granted, self._decided = {}, set()
        self._states.clear()

    def rules(self, organization: Organization, slug: str) -> tuple[LimitRule, ...]:
        """The limits that a meter or a pool has under the organization's plan; the organization's own is the first."""
        plan = self._catalogs.plan(organization.namespace, self._usage.ledger.subscription(organization.id))
        return plan.rules_of(slug) if plan is not None else (LimitRule(slug),)

    def decide(
        self,
        organization: Organization,
        asked: Iterable[tuple[Limited, Decimal]],
        amount: Decimal,
        properties: Mapping[str, str],
        *,
        at: datetime | None = None,
        from_memory: bool = False,
    ) -> Decision:
        """Whether there is room for an amount in all that is asked about, of which one unit takes so much; `at` is when
        it is used, if not now. Raises `NotInMemory` when only memory may be asked."""
        now = self.now()
        if from_memory and (organization.namespace, organization.id) not in self._states:
            raise NotInMemory
        state = self.state(organization.namespace, organization.id)
        reader = self._usage.reader(organization, at or now, self._store.latest_commit(), self._store.measure)
        limits = []
        for limited, rate in asked:
            if from_memory and any(grant.meter == limited.slug for grant in reader.grants):
                raise NotInMemory  # what is left of grants depends on all usage since they began
            for rule in self.rules(organization, limited.slug):
                text = "" if rule.per is None else properties.get(rule.per)
                limit = rule.amount if rule.amount is not None else reader.usable(limited.slug)
                if text is None or limit is None:
                    continue
                window = window_at(rule.window, reader.subscription, at or now)
                held = state.held_of(limited, rule.per, text) if window.contains(now) else ZERO
                part = limited.slug, rule.per, text
                if from_memory and (part, window.start) not in state.counters:
                    raise NotInMemory
                used = self._used(state, part, limited, reader, window)
                limits.append(LimitState(rule, text, window, limit, used, held, rate))
        return decide(amount, limits)

    def _used(
        self, state: QuotaState, part: Part, limited: Limited, reader: OrganizationUsage, window: Period
    ) -> Decimal:
        counter = state.counters.get((part, window.start))
        if counter is None or counter.window != window or counter.limited != limited:
            _, per, text = part
            if per is None:
                totals = reader.totals([meter.slug for meter, _ in limited.draws], window)
            else:
                totals = [reader.total(meter.slug, window, {per: text}) for meter, _ in limited.draws]
            used = add(EXACT.multiply(rate, total) for (_, rate), total in zip(limited.draws, totals, strict=True))
            counter = UsedCounter(limited, per, text, window, used)
            if reader.commit <= self._base:
                for event in self._granted.values():  # on its way into the next commit
                    if (event.namespace, event.organization) == (reader.organization.namespace, reader.organization.id):
                        counter.add(event)
            state.counters[part, window.start] = counter
        return counter.used

    def state(self, namespace: str, organization: str) -> QuotaState:
        """What is known of an organization: no counter of it lacks anything that is stored."""
        key, now = (namespace, organization), self.now()
        if (state := self._states.get(key)) is None:
            state = self._states[key] = QuotaState()
            for reservation in self._stored_reservations(namespace, organization, now):
                state.hold(reservation)
        if self._store.last_commit_of(namespace, organization) > state.known_commit:
            state.counters.clear()
            state.known_commit = self._store.latest_commit()
        state.expire(now)
        return state

    def _stored_reservations(self, namespace: str, organization: str, now: datetime) -> Iterable[Reservation]:
        """Those that nobody has ended, and that have not expired."""
        closed = {close_of(event).reservation for event in self._stored(namespace, organization, CLOSED, now)}
        for event in self._stored(namespace, organization, RESERVED, now):
            if event.id not in closed and (reservation := reservation_of(event)).expires_at > now:
                yield reservation

    def _stored(self, namespace: str, organization: str, event_type: str, now: datetime) -> Iterable[Event]:
        before = None
        commit = self._store.latest_commit()
        while True:
            query = EventQuery(
                namespace, organization, event_type, now - LONGEST, None, commit, _PAGE, {}, before=before
            )
            found = self._store.list_events(query)
            yield from (each.event for each in found)
            if len(found) < _PAGE:
                return
            before = found[-1].at

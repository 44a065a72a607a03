"""Looking at organizations: what their rules raise, which usage periods have ended, which grants soon will.

Commits say who is to be looked at; a schedule in the ledger says when something is due without one. What a look finds
is written in one transaction, with the messages that tell it: see `worker`. Whatever is raised has an id that follows
from its occasion, so that a look that is repeated, after a crash or by another process, raises nothing twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice

import structlog

from ...domain.alert_rule import Alert, AlertRule, raised, resolved
from ...domain.delivery import Message
from ...domain.errors import Invalid
from ...domain.grant import Grant
from ...domain.listing import StoredEvent
from ...domain.period import Period
from ...domain.plan import Subscription, usage_period
from ...domain.shards import virtual_shard
from ...domain.webhook import EventType
from ...ports.alerts import DueOrganization, Raising, ScheduledLook
from ..balances import balance_of, granted_slugs, next_change
from ..forecasts import Forecasts
from ..organization_usage import OrganizationUsage
from ..usage import Usage
from .messages import Messages
from .readings import readings
from .rules import AlertRules

EXPIRING_BEFORE = timedelta(days=7)
"""How long before a grant expires this is told; at its beginning where that is later."""
_MOST_PERIODS = 100
"""That are told at once, the newest, when a server was away for long."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Interest:
    """What somebody wants to know of a namespace."""

    rules: Sequence[AlertRule]
    """Those that compare something."""
    told: frozenset[EventType]
    """What some endpoint takes."""


@dataclass(frozen=True, slots=True)
class AlertWatch:
    """Looks at one organization at a time; two looks at the same one never run side by side."""

    usage: Usage
    forecasts: Forecasts
    rules: AlertRules

    def interest(self, namespace: str) -> Interest:
        """What somebody wants to know of a namespace now."""
        rules = [rule for rule in self.rules.of(namespace) if self.rules.problem(rule) is None]
        endpoints = [each for each in self.usage.ledger.endpoints(namespace) if each.enabled]
        told = frozenset(kind for kind in EventType if any(each.takes(kind) for each in endpoints))
        return Interest(rules, told)

    def look(
        self,
        namespace: str,
        organization_id: str,
        interest: Interest,
        due: DueOrganization | None = None,
        corrections: Sequence[StoredEvent] = (),
    ) -> Raising:
        """Looks at an organization, and answers what is to be written down. `due` is its row of the schedule, when that
        is why."""
        organization = self.usage.ledger.organization(organization_id)
        if organization is None or organization.deleted_at is not None or organization.namespace != namespace:
            now = self.usage.clock.now()
            return Raising(look=_next(due, None, now) if due is not None else None)
        return self._found(self.usage.of(organization), interest, due, corrections)

    def _found(
        self,
        usage: OrganizationUsage,
        interest: Interest,
        due: DueOrganization | None,
        corrections: Sequence[StoredEvent],
    ) -> Raising:
        namespace, name = usage.organization.namespace, usage.organization.id
        messages = Messages(namespace, name, usage.now)
        told: list[Message] = messages.corrections(corrections) if EventType.CORRECTION_MADE in interest.told else []
        look = None
        if due is not None:
            if EventType.PERIOD_CLOSED in interest.told and due.told_until is not None:
                ended = _ended(usage.subscription, due.told_until, usage.now)
                told += [messages.period_closed(usage.over(period).summary()) for period in ended]
            if EventType.GRANT_EXPIRING in interest.told:
                told += _expiring(usage, messages)
            look = _next(due, _next_instant(usage), usage.now)
        new, over = self._compared(usage, [rule for rule in interest.rules if rule.is_about(name)])
        told += [messages.alert(alert, rule) for alert, rule in new]
        told += [messages.alert(alert, rule) for alert, rule in over if rule.tell_resolved]
        return Raising(
            raised=[alert for alert, _ in new],
            resolved=[alert for alert, _ in over],
            messages=[each for each in told if each.type in interest.told],
            look=look,
            virtual=virtual_shard(namespace, name),
        )

    def _compared(
        self, usage: OrganizationUsage, rules: Sequence[AlertRule]
    ) -> tuple[list[tuple[Alert, AlertRule]], list[tuple[Alert, AlertRule]]]:
        """The alerts that rules raise now, and those that are resolved."""
        if not rules:
            return [], []
        period = usage.period()
        try:
            found = readings(usage, rules, self.forecasts)
        except Invalid as wrong:  # its grants change too often to compute a balance: it is told so when it asks, too
            _log.warning("alert rules cannot be compared", organization=usage.organization.id, reason=str(wrong))
            return [], []
        before = self.usage.ledger.alerts_in(usage.organization.id, period)
        new, over = [], []
        for rule in rules:
            reading = found[rule.id]
            alert = raised(rule, usage.organization.id, period, reading=reading, before=before, now=usage.now)
            if alert is not None:
                new.append((alert, rule))
            elif (alert := resolved(rule, reading, before)) is not None:
                over.append((replace(alert, resolved_at=usage.now), rule))
        return new, over


def by_organization(steps: Sequence[StoredEvent]) -> Mapping[tuple[str, str], list[StoredEvent]]:
    """Steps of corrections by namespace and organization."""
    found: dict[tuple[str, str], list[StoredEvent]] = {}
    for each in steps:
        found.setdefault((each.event.namespace, each.event.organization), []).append(each)
    return found


def _next(due: DueOrganization, at: datetime | None, now: datetime) -> ScheduledLook:
    told_until = now if due.told_until is None else max(due.told_until, now)  # a clock may have been set back
    return ScheduledLook(due.organization, at, told_until, due.version)


def _ended(subscription: Subscription | None, after: datetime, now: datetime) -> list[Period]:
    """The usage periods that have ended after one instant and until another, the last ones, in their order."""

    def backwards() -> Iterator[Period]:
        period = usage_period(subscription, now)
        while period.start is not None and period.start > after and subscription is not None:
            if subscription.interval is None:
                return
            period = usage_period(subscription, period.start - timedelta(microseconds=1))
            yield period

    return [*islice(backwards(), _MOST_PERIODS)][::-1]


def _told_at(grant: Grant) -> datetime | None:
    """From when on it is told that a grant expires; None for one that does not, or was voided."""
    if grant.expires_at is None or grant.voided_at is not None:
        return None
    return max(grant.effective_at, grant.expires_at - EXPIRING_BEFORE)


def _expiring(usage: OrganizationUsage, messages: Messages) -> list[Message]:
    """What is told of grants that expire soon, and of which something is left."""
    soon = [
        grant
        for grant in usage.grants
        if (at := _told_at(grant)) is not None and at <= usage.now and grant.in_force_at(usage.now)
    ]
    told: list[Message] = []
    for slug in granted_slugs(usage) if soon else ():
        lefts = {part.grant.id: part.left for part in balance_of(usage, slug).parts}
        told += [messages.grant_expiring(grant, lefts[grant.id]) for grant in soon if lefts.get(grant.id)]
    return told


def _next_instant(usage: OrganizationUsage) -> datetime | None:
    """When something is due without a commit: a usage period or a grant begins or ends, or a grant is about to."""
    told_at = (_told_at(grant) for grant in usage.grants)
    instants = [usage.period().end, next_change(usage), *(at for at in told_at if at is not None and at > usage.now)]
    return min((at for at in instants if at is not None), default=None)

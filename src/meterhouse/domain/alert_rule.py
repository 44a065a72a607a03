"""Alert rules: what of an organization's usage is to be told, and when one has to be raised or taken back."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from .errors import Invalid
from .period import Period
from .quantity import EXACT, ZERO
from .webhook import EventType, digest

MOST_RULES = 200
"""That a namespace has."""
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_HUNDRED = Decimal(100)


class Basis(StrEnum):
    """What a threshold is compared with."""

    USED = "used"
    """What was used of the meter in the usage period."""
    PERCENT = "percent"
    """The same, in percent of the limit."""
    FORECAST = "forecast"
    """What the forecast expects to have been used when the period ends, in percent of the limit."""
    BALANCE = "balance"
    """What is left of the meter, or the pool."""


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A threshold, for one organization or for all of a namespace."""

    id: str
    namespace: str
    meter: str
    """The slug of a meter; of a balance, also that of a pool."""
    basis: Basis
    threshold: Decimal
    organization: str | None
    """None: every organization of the namespace, each by itself."""
    tell_resolved: bool
    """Whether it is told, too, when the threshold is not crossed any more."""
    created_at: datetime
    revised_at: datetime
    """When what it compares was changed last. What was raised before does not count."""

    @property
    def event_type(self) -> EventType:
        """What a crossed threshold is told as."""
        if self.basis is Basis.FORECAST:
            return EventType.FORECAST_EXCEEDS_LIMIT
        if self.basis is Basis.BALANCE:
            return EventType.BALANCE_LOW if self.threshold else EventType.BALANCE_EXHAUSTED
        if self.basis is Basis.PERCENT and self.threshold >= _HUNDRED:
            return EventType.LIMIT_EXCEEDED
        return EventType.LIMIT_THRESHOLD_REACHED

    def compares_as(self, other: AlertRule) -> bool:
        """Whether both compare the same."""
        return (self.meter, self.basis, self.threshold) == (other.meter, other.basis, other.threshold)

    def is_about(self, organization: str) -> bool:
        """Whether it is about an organization of its namespace."""
        return self.organization is None or self.organization == organization

    def crossed(self, reading: RuleReading) -> bool:
        """Whether the threshold is reached. Percent of a limit of 0 are reached by any usage; of no limit, never."""
        value, limit = reading.value, reading.limit
        if value is None:
            return False
        if self.basis is Basis.BALANCE:
            return value <= self.threshold
        if self.basis is Basis.USED:
            return value >= self.threshold
        if limit is None:
            return False
        reached = EXACT.multiply(value, _HUNDRED) >= EXACT.multiply(self.threshold, limit)
        return reached if limit else value > ZERO


@dataclass(frozen=True, slots=True)
class RuleReading:
    """What a rule compares, at one moment."""

    value: Decimal | None
    """None: there is nothing to compare, like the balance of what is not limited."""
    limit: Decimal | None = None


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that an organization crossed in a usage period, for the first time or once more."""

    id: str
    namespace: str
    rule: str
    organization: str
    meter: str
    basis: Basis
    threshold: Decimal
    revised_at: datetime
    """Which revision of the rule it is of."""
    period_start: datetime | None
    period_end: datetime | None
    crossing: int
    """1 for the first time in the period."""
    value: Decimal
    """When it was raised, as the limit."""
    usage_limit: Decimal | None
    raised_at: datetime
    resolved_at: datetime | None = None
    """When it was first seen that the threshold is not crossed any more."""

    @property
    def period(self) -> Period:
        """The usage period."""
        return Period(self.period_start, self.period_end)

    def is_of(self, rule: AlertRule) -> bool:
        """Whether that rule, as it is now, has raised it."""
        return self.rule == rule.id and self.revised_at == rule.revised_at


def raised(
    rule: AlertRule, organization: str, period: Period, *, reading: RuleReading, before: Sequence[Alert], now: datetime
) -> Alert | None:
    """The alert that is to be raised; None where the threshold is not crossed, or that was told. `before` are the
    organization's alerts of the period."""
    own = [alert for alert in before if alert.is_of(rule)]
    if not rule.crossed(reading) or any(alert.resolved_at is None for alert in own):
        return None
    assert reading.value is not None  # else it is not crossed
    crossing = len(own) + 1
    occasion = (rule.namespace, rule.id, rule.revised_at.isoformat(), organization, _written(period), str(crossing))
    return Alert(
        id=f"alert_{digest(*occasion)}",
        namespace=rule.namespace,
        rule=rule.id,
        organization=organization,
        meter=rule.meter,
        basis=rule.basis,
        threshold=rule.threshold,
        revised_at=rule.revised_at,
        period_start=period.start,
        period_end=period.end,
        crossing=crossing,
        value=reading.value,
        usage_limit=reading.limit,
        raised_at=now,
    )


def resolved(rule: AlertRule, reading: RuleReading, before: Sequence[Alert]) -> Alert | None:
    """The alert of the rule that is not so any more: by a correction, or because there is more to be used now. That of
    a forecast stays for the period: a forecast goes up and down by itself."""
    if rule.basis is Basis.FORECAST or rule.crossed(reading):
        return None
    return next((alert for alert in before if alert.is_of(rule) and alert.resolved_at is None), None)


def check_rule(rule: AlertRule) -> None:
    """Raises `Invalid` for a rule that means nothing; its threshold is a quantity already."""
    check_rule_id(rule.id)
    if rule.threshold < 0 or (not rule.threshold and rule.basis is not Basis.BALANCE):
        raise Invalid("threshold: must be more than 0; a balance may also be compared with 0")


def check_rule_id(text: str) -> None:
    """Raises `Invalid` for an id that a rule or a webhook endpoint cannot have."""
    if _ID.fullmatch(text) is None:
        raise Invalid(
            f"id: {text[:60]!r} is not allowed: 1 to 64 letters, digits and . _ - that begin with a letter or digit"
        )


def _written(period: Period) -> str:
    return "all time" if period.start is None else period.start.isoformat()

"""The answer to "how much have we used, what is our limit, what is left, when does it reset?"."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from .meter import Meter
from .organization import Organization
from .period import Period
from .plan import Subscription
from .quantity import ZERO, add, percentage, subtract


@dataclass(frozen=True, slots=True)
class MeterSummary:
    """One meter of an organization in its usage period."""

    meter: Meter
    used: Decimal | None
    """None where a MIN, MAX, AVG or LATEST has no event in the period to speak of."""
    limit: Decimal | None
    """None: not limited."""
    period: Period
    complete_from: datetime | None = None
    """Where the period begins before it, `used` may lack earlier events: they were reduced before there was such a
    meter."""

    @property
    def remaining(self) -> Decimal | None:
        """What is left, never negative."""
        return None if self.limit is None else max(ZERO, subtract(self.limit, self.used or ZERO))

    @property
    def overage(self) -> Decimal | None:
        """What went beyond the limit, never negative."""
        return None if self.limit is None else max(ZERO, subtract(self.used or ZERO, self.limit))

    def allows(self, amount: Decimal) -> bool:
        """Whether so much more fits under the limit."""
        return self.limit is None or add((self.used or ZERO, amount)) <= self.limit

    @property
    def percent(self) -> Decimal | None:
        """Used in percent of the limit, not clamped; None where there is no limit or it is 0."""
        return percentage(self.used or ZERO, self.limit) if self.limit else None

    @property
    def resets_at(self) -> datetime | None:
        """When the next period begins; None where there is nothing to reset."""
        return self.period.end


@dataclass(frozen=True, slots=True)
class UsageSummary:
    """Every meter of an organization at one moment."""

    organization: Organization
    subscription: Subscription | None
    period: Period
    meters: tuple[MeterSummary, ...]

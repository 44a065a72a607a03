"""What was used in the usage period before, to compare with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from ..domain.period import Period, earliest
from ..domain.plan import previous_period
from ..domain.slot import SLOT
from .organization_usage import OrganizationUsage


@dataclass(frozen=True, slots=True)
class PreviousUsage:
    """A meter in the previous usage period; None where a MIN, MAX, AVG or LATEST has no event to speak of."""

    used: Decimal | None
    """In the whole of it."""
    used_by_now: Decimal | None
    """Until as many whole quarters of an hour of it had passed as of the period that is asked about; all of it where it
    is shorter."""


def previous_usage(usage: OrganizationUsage) -> Mapping[str, PreviousUsage]:
    """By meter, what was used in the period before the one that is asked about, from the same state of the store. Empty
    where there is no such period; without those meters that count all entities as they are now, whatever the period."""
    period = usage.period()
    previous = previous_period(usage.subscription, period)
    if previous is None or previous.start is None or period.start is None:
        return {}
    # Whole slots: rollups have them, and their results are cached for a quarter of an hour.
    elapsed = (earliest(usage.now, period.end) - period.start) // SLOT * SLOT
    until_now = Period(previous.start, earliest(previous.start + elapsed, previous.end))
    whole, by_now = usage.over(previous).used(), usage.over(until_now).used()
    return {
        meter.slug: PreviousUsage(used, used_by_now)
        for (meter, used), (_, used_by_now) in zip(whole, by_now, strict=True)
        if not meter.timeless
    }

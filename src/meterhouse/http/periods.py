"""Periods and instants as they are answered."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ..domain.errors import Invalid
from ..domain.period import FIRST_INSTANT, Period, format_instant
from ..domain.plan import previous_period, usage_period
from ..domain.query_parameters import instant_of
from ..services.organization_usage import OrganizationUsage


class PeriodBody(msgspec.Struct):
    """A half-open span in UTC; null sides are open."""

    start: str | None
    end: str | None


def period_body(period: Period) -> PeriodBody:
    """A period as it is answered."""
    return PeriodBody(written(period.start), written(period.end))


def written(instant: datetime | None) -> str | None:
    """An instant in UTC; None where there is none."""
    return format_instant(instant) if instant else None


def asked_period(reader: OrganizationUsage, period: str | None, period_of: str | None) -> Period:
    """The usage period that a request names, of those that have begun. Raises `Invalid` where there is none."""
    current = reader.period()
    if period is not None and period_of is not None:
        raise Invalid("period and period_of exclude each other: give one of them")
    if period_of is not None:
        instant = instant_of("period_of", period_of)
        found = usage_period(reader.subscription, instant)
        if not found.contains(instant):
            raise Invalid(f"period_of: {format_instant(instant)} is before the only usage period")
        if found.start is not None and found.start < FIRST_INSTANT:
            raise Invalid(f"period_of: that usage period begins before {FIRST_INSTANT.year}, when no event can be")
        if found.start is not None and found.start > reader.now:
            raise Invalid(f"period_of: the usage period of {format_instant(instant)} is still to come")
        return found
    if period == "current":
        return current
    if period != "previous":
        raise Invalid(f"period: {(period or '')[:40]!r} is not current or previous; period_of takes an instant")
    previous = previous_period(reader.subscription, current)
    if previous is None:
        raise Invalid("period: there is no usage period before this one; period_of asks for the one of an instant")
    return previous

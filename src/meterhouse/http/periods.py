"""Periods and instants as they are answered."""

from __future__ import annotations

from datetime import datetime

import msgspec

from ..domain.period import Period, format_instant


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

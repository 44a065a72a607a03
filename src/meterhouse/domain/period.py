"""Usage periods: half-open spans of UTC time, counted from an anchor."""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from .errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_INTERVAL = re.compile(r"P([1-9][0-9]{0,3})([MD])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Period:
    """`[start, end)`. A side that is None is open: all time before, or from then on."""

    start: datetime | None
    end: datetime | None

    def contains(self, instant: datetime) -> bool:
        """Whether the instant lies in the period; one exactly at `end` does not."""
        return (self.start is None or self.start <= instant) and (self.end is None or instant < self.end)


ALL_TIME = Period(None, None)


@dataclass(frozen=True, slots=True)
class Interval:
    """How long a usage period lasts: a number of calendar months, or of days of 24 hours. One of the two is 0."""

    months: int
    days: int

    @classmethod
    def parse(cls, text: str) -> Interval:
        """`P1M`, `P3M`, `P30D` … ; raises `Invalid` for anything else."""
        match = _INTERVAL.fullmatch(text)
        if match is None:
            raise Invalid(f"interval {text[:40]!r} is not understood: use months or days like 'P1M' or 'P30D'")
        count = int(match[1])
        return cls(count, 0) if match[2] == "M" else cls(0, count)

    def __str__(self) -> str:
        """ISO 8601, as `parse` reads it."""
        return f"P{self.months}M" if self.months else f"P{self.days}D"


MONTHLY = Interval(1, 0)
THIRTY_DAYS = Interval(0, 30)


def add_months(anchor: datetime, months: int) -> datetime:
    """`anchor` moved by whole months, its day kept where the month has it, else the month's last day."""
    year, month0 = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, calendar.monthrange(year, month0 + 1)[1])
    return anchor.replace(year=year, month=month0 + 1, day=day)


def period_at(anchor: datetime, interval: Interval, instant: datetime) -> Period:
    """The period that contains `instant` when periods of `interval` are counted from `anchor`, in both directions.

    Every start is computed from the anchor itself, so that 31 January gives 28 February and then 31 March again.
    """
    if interval.days:
        step = timedelta(days=interval.days)
        start = anchor + step * ((instant - anchor) // step)
        return Period(start, start + step)
    elapsed = (instant.year - anchor.year) * 12 + instant.month - anchor.month
    count = elapsed // interval.months
    if add_months(anchor, count * interval.months) > instant:
        count -= 1
    return Period(
        add_months(anchor, count * interval.months),
        add_months(anchor, (count + 1) * interval.months),
    )


def parse_instant(text: str) -> datetime:
    """An RFC 3339 date-time with a zone, as UTC. Digits after the microsecond are cut, never rounded up. A leap second
    is taken for the last microsecond before it.

    Raises `Invalid` when the text is no such instant: no zone, no such day, not between 1900 and 2261.
    """
    if _PLAIN_RFC3339.fullmatch(text) is None:
        match = _RFC3339.fullmatch(text)
        if match is None:
            raise Invalid(f"{text[:40]!r} is not an RFC 3339 date-time with a zone, like 2026-01-31T09:30:00Z")
        plain = f"{match[1]}T{match[2]}{(match[3] or '')[:7]}{match[4].upper()}"
    else:
        plain = text
    if plain[17:19] == "60":
        return _leap_second(text, plain)
    try:
        local = datetime.fromisoformat(plain)
        instant = local if local.tzinfo is UTC else local.astimezone(UTC)
    except (ValueError, OverflowError) as wrong:
        raise Invalid(f"{text[:40]!r} is not an instant: {wrong}") from None
    if not FIRST_INSTANT <= instant < LAST_INSTANT:
        raise Invalid(f"{text[:40]!r} is not between {FIRST_INSTANT.year} and {LAST_INSTANT.year - 1}")
    return instant


def _leap_second(text: str, plain: str) -> datetime:
    """The last microsecond of the minute. A leap second is at the end of a month, UTC."""
    zone = re.search(r"(?:Z|[+-][^.]*)$", plain[19:])
    instant = parse_instant(f"{plain[:17]}59.999999{zone[0] if zone else ''}")
    if (instant.hour, instant.minute) != (23, 59) or (instant + timedelta(seconds=1)).day != 1:
        raise Invalid(f"{text[:40]!r} is no leap second: those are at 23:59:60Z on the last day of a month")
    return instant


def format_instant(instant: datetime) -> str:
    """RFC 3339 in UTC with `Z`; a fraction only when there is one."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def earliest(*ends: datetime | None) -> datetime:
    """The first of some ends, of which None never comes; `LAST_INSTANT` when none does."""
    return min((end for end in ends if end is not None), default=LAST_INSTANT)


FIRST_INSTANT = datetime(1900, 1, 1, tzinfo=UTC)
LAST_INSTANT = datetime(2262, 1, 1, tzinfo=UTC)

# As nearly everybody writes it, and as Python reads it.
_PLAIN_RFC3339 = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,6})?(?:Z|[+-][0-9]{2}:[0-5][0-9])", re.ASCII
)
_RFC3339 = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}:[0-9]{2}:[0-9]{2})(\.[0-9]{1,18})?([Zz]|[+-][0-9]{2}:[0-5][0-9])",
    re.ASCII,
)

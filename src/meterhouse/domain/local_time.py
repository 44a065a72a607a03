"""Days, weeks and months of a time zone, as UTC instants. Zones never travel further than this module."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, available_timezones

from .errors import Invalid


@cache
def _zone_names() -> frozenset[str]:
    return frozenset(available_timezones()) - {"localtime"}  # which some machines have, each its own


def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name; raises `Invalid` for anything that is not in the tz database."""
    if name not in _zone_names():
        raise Invalid(f"{name[:60]!r} is not an IANA time zone such as 'Europe/Zurich'")
    return ZoneInfo(name)


def local_date(instant: datetime, tz: ZoneInfo) -> date:
    """The calendar date on the wall at that instant."""
    return instant.astimezone(tz).date()


def start_of_day(day: date, tz: ZoneInfo) -> datetime:
    """From when on the local date is `day` or later, also where the clock skips midnight or is set back over it.

    A clock that was set back over midnight showed it twice. The day begins with the second one: the hour that was
    repeated before it has the date of the day before.
    """
    midnight = datetime.combine(day, time(), tz).astimezone(UTC)
    if midnight.astimezone(tz).replace(tzinfo=None) == datetime.combine(day, time()):
        again = datetime.combine(day, time(), tz).replace(fold=1).astimezone(UTC)
        return again if local_date(again - timedelta(microseconds=1), tz) < day else midnight
    # Midnight falls into a gap: find the jump. Local dates do not decrease across a gap, so bisection holds.
    reach = timedelta(hours=36)
    return _first(midnight - reach, midnight + reach, lambda instant: local_date(instant, tz) >= day)


def end_of_date(instant: datetime, tz: tzinfo) -> datetime:
    """Until when the date on the wall stays what it is at the instant: midnight, or an earlier change of the clock,
    which may skip midnight or lead back over it."""
    local = instant.astimezone(tz)
    midnight = datetime.combine(local.date() + timedelta(days=1), time())
    end = instant + (midnight - local.replace(tzinfo=None))
    if end.astimezone(tz).replace(tzinfo=None) == midnight:
        return end
    return _first(instant, end, lambda later: later.astimezone(tz).utcoffset() != local.utcoffset())


def _first(low: datetime, high: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """The first instant after `low` at which something holds that does so from then on, at the latest at `high`."""
    while high - low > timedelta(microseconds=1):
        middle = low + (high - low) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return high


def days(last: date, count: int) -> list[date]:
    """The first days of `count + 1` consecutive days: `count` that end with `last`, then the one after."""
    return [last + timedelta(days=n - count + 1) for n in range(count + 1)]


def weeks(last: date, count: int) -> list[date]:
    """The Mondays of `count` weeks, the one that contains `last` included, then the Monday after."""
    monday = last - timedelta(days=last.weekday())
    return [monday + timedelta(weeks=n - count + 1) for n in range(count + 1)]


def months(last: date, count: int) -> list[date]:
    """The firsts of `count` months, the one that contains `last` included, then the first after."""
    current = last.year * 12 + last.month - 1
    numbers = [divmod(current + n - count + 1, 12) for n in range(count + 1)]
    return [date(year, month0 + 1, 1) for year, month0 in numbers]


def edges(starts: list[date], tz: ZoneInfo) -> list[datetime]:
    """The instants at which those dates begin in the zone: n + 1 edges bound n half-open windows."""
    return [start_of_day(day, tz) for day in starts]

"""The calendar without arithmetic: walk along the time line and read the date off the wall.

Nothing here knows how the product computes its days, weeks, months and periods. A local date is
`instant.astimezone(zone).date()`, a day begins at the first instant that shows its date, and periods are listed one
by one until the right one comes along.
"""

from __future__ import annotations

import calendar
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

TICK = timedelta(microseconds=1)
SECOND = timedelta(seconds=1)
QUARTER = timedelta(minutes=15)
DAY = timedelta(days=1)

ZONES = sorted(available_timezones() - {"localtime"})  # which is the machine's own zone, and only on some machines
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
LAST = datetime(2031, 1, 1, tzinfo=UTC)
_MIDNIGHTS = [FIRST + DAY * n for n in range((LAST - FIRST).days + 1)]


def utc(year: int, month: int, day: int, *clock: int) -> datetime:
    return datetime(year, month, day, *clock, tzinfo=UTC)


def around(instant: datetime) -> tuple[datetime, datetime, datetime]:
    """One microsecond before an instant, the instant, and one microsecond after."""
    return instant - TICK, instant, instant + TICK


def wall_date(instant: datetime, tz: ZoneInfo) -> date:
    return instant.astimezone(tz).date()


def walk(start: datetime, holds: Callable[[datetime], bool]) -> datetime:
    """The first whole second after `start` at which something holds: in quarters of an hour, then minutes, seconds."""
    found = start
    for step in (QUARTER, timedelta(minutes=1), SECOND):
        found = start + step
        while not holds(found):
            found += step
        start = found - step
    return found


@dataclass(frozen=True)
class Transition:
    """A zone's clocks show another offset from this instant on."""

    instant: datetime
    before: timedelta
    after: timedelta


@cache
def transitions(name: str) -> tuple[Transition, ...]:
    """Every change of a zone's offset from 2024 to 2030. One that is undone within a UTC day would go unseen."""
    tz = ZoneInfo(name)

    def offset(instant: datetime) -> timedelta:
        shown = instant.astimezone(tz).utcoffset()
        assert shown is not None
        return shown

    found = []
    offsets = [offset(midnight) for midnight in _MIDNIGHTS]
    for midnight, (before, after) in zip(_MIDNIGHTS, pairwise(offsets), strict=False):
        if before != after:
            found.append(Transition(walk(midnight, lambda instant, old=before: offset(instant) != old), before, after))
    return tuple(found)


QUIET = (utc(2024, 2, 29, 12), utc(2024, 12, 31, 12), utc(2027, 1, 1, 12), utc(2028, 2, 29, 12))


def moments(name: str) -> list[datetime]:
    """Where to look at a zone: at every transition, at leap days and over two ends of a year."""
    return [change.instant for change in transitions(name)] + list(QUIET)


@cache
def rules(name: str) -> tuple[timedelta, tuple[Transition, ...]]:
    """What two names share when they are one zone from 2024 to 2030."""
    offset = FIRST.astimezone(ZoneInfo(name)).utcoffset()
    assert offset is not None
    return offset, transitions(name)


_walked: dict[tuple[timedelta, tuple[Transition, ...]], str] = {}


def twin(name: str) -> str:
    """A name with the same rules; the same one for all that share them, so that they are walked once."""
    return _walked.setdefault(rules(name), name)


def days_begin(name: str, days: list[date]) -> list[datetime]:
    """The first instant of each of those days of 2024 to 2030."""
    return [_first_instant(day, twin(name)) for day in days]


@cache
def _first_instant(day: date, name: str) -> datetime:
    return first_instant(day, ZoneInfo(name))


def first_instant(day: date, tz: ZoneInfo) -> datetime:
    """Where the walls of a zone first show that date, or a later one if they never do."""
    start = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)  # no clock is 15 hours ahead
    assert wall_date(start, tz) < day
    return walk(start, lambda instant: wall_date(instant, tz) >= day)


def monday_of(day: date) -> date:
    while day.weekday() != calendar.MONDAY:
        day -= DAY
    return day


def first_of_next_month(day: date) -> date:
    month = day.month
    while day.month == month:
        day += DAY
    return day


def monthly_starts(anchor: datetime, until: datetime) -> Iterator[datetime]:
    """The anchor, and its day and time of day in every later month, or the last day of one that is too short."""
    year, month = anchor.year, anchor.month
    start = anchor
    while start <= until:
        yield start
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        start = anchor.replace(year=year, month=month, day=min(anchor.day, calendar.monthrange(year, month)[1]))
    yield start


def thirty_day_starts(anchor: datetime, until: datetime) -> Iterator[datetime]:
    """The anchor, thirty days later, thirty days later."""
    start = anchor
    while start <= until:
        yield start
        start += timedelta(days=30)
    yield start


def period_of(starts: Iterator[datetime], instant: datetime) -> tuple[datetime, datetime]:
    """The start that `instant` has reached, and the one that it has not."""
    return next((start, end) for start, end in pairwise(starts) if start <= instant < end)

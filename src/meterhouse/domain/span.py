"""Spans of time on the clocks of a zone, the windows they are divided into, and the spans they are compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

from .errors import Invalid
from .local_time import days, local_date, months, start_of_day, weeks
from .period import FIRST_INSTANT, LAST_INSTANT, Period, add_months
from .usage_query import Window, WindowSpan

MOST_WINDOWS = 100_000
_LENGTHS = {
    Window.MINUTE: timedelta(minutes=1),
    Window.HOUR: timedelta(hours=1),
    Window.DAY: timedelta(hours=23),
    Window.WEEK: timedelta(days=7, hours=-1),
    Window.MONTH: timedelta(days=28, hours=-1),
}
"""The shortest that each can be, but for an hour in which the clocks change."""
_UNITS = re.compile(r"([1-9][0-9]{0,4})(h|d|w|mo)", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """A span and the one just before it."""

    period: Period
    previous: Period | None
    """None where there is none."""


def span_between(start: datetime | date, end: datetime | date, tz: ZoneInfo) -> Span:
    """From one instant, or the beginning of a local date, to another. The span before has as many local months when
    both begin one, else as many local days when both begin one, else the same length. Raises `Invalid`."""
    period = Period(_instant("from", start, tz), _instant("to", end, tz))
    assert period.start
    assert period.end
    if period.start >= period.end:
        raise Invalid("to: must be later than from; to is exclusive, so a day ends with the date after it")
    first, last = local_date(period.start, tz), local_date(period.end, tz)
    if start_of_day(first, tz) != period.start or start_of_day(last, tz) != period.end:
        return Span(period, _within(period.start - (period.end - period.start), period.start))
    if first.day == last.day == 1:
        return Span(period, _days_between(_month(first, -_months_between(first, last)), first, tz))
    return Span(period, _days_between(first - (last - first), first, tz))


def range_until(text: str, now: datetime, tz: ZoneInfo) -> Span:
    """So many hours, days, weeks or months of the zone, the present one included: `24h`, `30d`, `12w`, `12mo`. Raises
    `Invalid`."""
    match = _UNITS.fullmatch(text)
    if match is None:
        raise Invalid(
            f"range: {text[:40]!r} is not understood; it is current_period, previous_period, or a number of hours, "
            "days, weeks or months such as 24h, 30d, 12w, 12mo"
        )
    count, unit, today = int(match[1]), match[2], local_date(now, tz)
    try:
        if unit == "h":
            end = _next(now, tz, timedelta(hours=1))
            start = end - timedelta(hours=count)
            return Span(_within(start, end) or _too_early(), _within(start - (end - start), start))
        units = {"d": days, "w": weeks, "mo": months}[unit]
        starts = units(today, 2 * count)
        previous = _days_between(starts[0], starts[count], tz)
        return Span(_days_between(starts[count], starts[-1], tz) or _too_early(), previous)
    except (OverflowError, ValueError):  # before the first year that Python knows
        return Span(_too_early(), None)


def year_before(period: Period, tz: ZoneInfo) -> Period | None:
    """The span a calendar year earlier: 29 February becomes 28 February. None where it would be too long ago."""
    if period.start is None or period.end is None:
        return None
    return _within(_a_year_before(period.start, tz), _a_year_before(period.end, tz))


def windows_of(period: Period, window: Window, tz: ZoneInfo) -> tuple[WindowSpan, ...]:
    """The adjoining windows of a span; none for `Window.NONE`. Where the span begins or ends inside one, there is a
    part of it. Hours and minutes are those of the wall's clock, so that they add up to its days. Raises `Invalid` for
    more than 100,000, and for minutes of more than a day."""
    if window is Window.NONE:
        return ()
    assert period.start
    assert period.end
    length = period.end - period.start
    day = start_of_day(local_date(period.start, tz), tz), start_of_day(local_date(period.start, tz) + _DAY, tz)
    if window is Window.MINUTE and length > timedelta(hours=24) and (period.start, period.end) != day:
        raise Invalid("window: minutes are told of at most 24 hours; narrow from and to, or take hours")
    if length // _LENGTHS[window] > MOST_WINDOWS:
        raise Invalid(f"window: that is more than {MOST_WINDOWS:,} windows; narrow from and to, or take longer ones")
    edges = [period.start, *_marks(period.start, period.end, window, tz), period.end]
    return tuple(WindowSpan(Period(start, end), _label(start, window, tz)) for start, end in pairwise(edges))


_DAY = timedelta(days=1)


def _marks(start: datetime, end: datetime, window: Window, tz: ZoneInfo) -> Iterator[datetime]:
    """The instants between start and end at which a window ends and the next one begins."""
    first = local_date(start, tz)
    if window in (Window.HOUR, Window.MINUTE):
        for midnight, next_midnight in pairwise(_dates(first, end, tz)):
            at = midnight
            while at < next_midnight:
                if start < at < end:
                    yield at
                at = min(_next(at, tz, _LENGTHS[window]), next_midnight)
        return
    if window is Window.WEEK:
        first -= timedelta(days=first.weekday())
    day = first
    while True:
        day = (
            _month(day.replace(day=1), 1)
            if window is Window.MONTH
            else day + (7 if window is Window.WEEK else 1) * _DAY
        )
        if (at := start_of_day(day, tz)) >= end:
            return
        yield at


def _dates(first: date, end: datetime, tz: ZoneInfo) -> Iterator[datetime]:
    """The beginnings of consecutive days, the last one at the end or after it."""
    day, at = first, start_of_day(first, tz)
    yield at
    while at < end:
        day += _DAY
        at = start_of_day(day, tz)
        yield at


def _next(at: datetime, tz: ZoneInfo, length: timedelta) -> datetime:
    """When the next full hour or minute of the wall's clock would begin if the clock were not changed before."""
    local = at.astimezone(tz)
    into_hour = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return at + length - into_hour % length


def _label(start: datetime, window: Window, tz: ZoneInfo) -> str:
    local = start.astimezone(tz)
    if window in (Window.HOUR, Window.MINUTE):
        return local.isoformat(timespec="minutes")
    day = local_date(start, tz)
    if window is Window.WEEK:
        year, week, _ = day.isocalendar()
        return f"{year}-W{week:02}"
    return day.isoformat()[:7] if window is Window.MONTH else day.isoformat()


def _instant(name: str, at: datetime | date, tz: ZoneInfo) -> datetime:
    """Raises `Invalid` for a date that no event can have."""
    if isinstance(at, datetime):
        return at
    if not FIRST_INSTANT.year < at.year < LAST_INSTANT.year:
        raise Invalid(f"{name}: {at} is not between {FIRST_INSTANT.year + 1} and {LAST_INSTANT.year - 1}")
    return start_of_day(at, tz)


def _month(first: date, count: int) -> date:
    """The first of the month so many months later."""
    return add_months(datetime.combine(first, time(), UTC), count).date()


def _months_between(first: date, last: date) -> int:
    return (last.year - first.year) * 12 + last.month - first.month


def _days_between(first: date, last: date, tz: ZoneInfo) -> Period | None:
    return _within(start_of_day(first, tz), start_of_day(last, tz)) if first.year > 1 else None


def _within(start: datetime, end: datetime) -> Period | None:
    """None for what begins before any event can be."""
    return Period(start, end) if start >= FIRST_INSTANT else None


def _too_early() -> Period:
    raise Invalid(f"range: that begins before {FIRST_INSTANT.year}; take a shorter one")


def _a_year_before(at: datetime, tz: ZoneInfo) -> datetime:
    local = at.astimezone(tz)
    day = _day_a_year_before(local.date())
    if start_of_day(local.date(), tz) == at:
        return start_of_day(day, tz)
    return datetime.combine(day, local.time(), tz).replace(fold=local.fold).astimezone(UTC)


def _day_a_year_before(day: date) -> date:
    return day.replace(year=day.year - 1, day=28 if (day.month, day.day) == (2, 29) else day.day)

"""The windows of a query: whole minutes, hours, days or months of a zone's clock, however its span is cut."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

from ...domain.errors import Invalid
from ...domain.local_time import local_date, start_of_day, zone
from ...domain.period import Period
from ...domain.span import MOST_WINDOWS, windows_of
from ...domain.usage_query import Window
from .wire import bad_field

_WINDOWS = {"MINUTE": Window.MINUTE, "HOUR": Window.HOUR, "DAY": Window.DAY, "MONTH": Window.MONTH}
MINUTE, _HOUR = timedelta(minutes=1), timedelta(hours=1)
_MICROSECOND = timedelta(microseconds=1)


def window_of(name: str | None) -> Window:
    """The window of a `windowSize`. Raises `Refuse`."""
    window = _WINDOWS.get(name or "")
    if window is None:
        raise bad_field("windowSize", f"must be one of {', '.join(_WINDOWS)}")
    return window


def zone_of(name: str) -> ZoneInfo:
    """The zone of a `windowTimeZone`. Raises `Refuse`."""
    try:
        return zone(name)
    except Invalid as wrong:
        raise bad_field("windowTimeZone", str(wrong)) from None


def windows_around(period: Period, window: Window, tz: ZoneInfo) -> tuple[list[datetime | None], list[Period]]:
    """Where the windows of a span begin and end, cut to the span; and the whole windows, which are told."""
    start, end = period.start, period.end
    assert start is not None
    assert end is not None
    if window is Window.NONE:
        return [start, end], [period]
    if window in (Window.MINUTE, Window.HOUR):
        length = MINUTE if window is Window.MINUTE else _HOUR
        first, after = _local_floor(start, length, tz), _local_floor(end - _MICROSECOND, length, tz) + length
    else:
        day, last = local_date(start, tz), local_date(end - _MICROSECOND, tz)
        if window is Window.MONTH:
            day, last = day.replace(day=1), (last.replace(day=1) + timedelta(days=31)).replace(day=1)
        else:
            last += timedelta(days=1)
        first, after = start_of_day(day, tz), start_of_day(last, tz)
    if window is Window.MINUTE:
        count = (after - first) // MINUTE
        if count > MOST_WINDOWS:
            raise bad_field("windowSize", f"that is more than {MOST_WINDOWS:,} windows: narrow from and to")
        windows = [Period(first + n * MINUTE, first + (n + 1) * MINUTE) for n in range(count)]
    else:
        windows = [each.period for each in windows_of(Period(first, after), window, tz)]
    return [start, *(each.end for each in windows[:-1]), end], windows


def minute_of(at: datetime) -> datetime:
    """When the minute of an instant began."""
    return at.replace(second=0, microsecond=0)


def _local_floor(at: datetime, length: timedelta, tz: ZoneInfo) -> datetime:
    """When the minute or the hour of the wall's clock began."""
    local = at.astimezone(tz)
    into = timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)
    return at - into % length

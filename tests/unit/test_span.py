"""Spans and windows on the clocks of real zones."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.local_time import local_date, start_of_day
from meterhouse.domain.period import Period
from meterhouse.domain.span import range_until, span_between, windows_of, year_before
from meterhouse.domain.usage_query import Window

ZONES = sorted(available_timezones() - {"localtime"})
INSTANTS = st.datetimes(datetime(1960, 1, 1), datetime(2040, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001 - st gives zones
NEW_YORK = ZoneInfo("America/New_York")


@given(
    start=INSTANTS,
    hours=st.integers(1, 24 * 40),
    zone=st.sampled_from(ZONES),
    window=st.sampled_from([Window.HOUR, Window.DAY, Window.WEEK, Window.MONTH]),
)
def test_windows_are_all_of_the_span_once(start: datetime, hours: int, zone: str, window: Window) -> None:
    tz, span = ZoneInfo(zone), Period(start, start + timedelta(hours=hours))
    windows = windows_of(span, window, tz)
    assert windows[0].period.start == span.start
    assert windows[-1].period.end == span.end
    assert all(before.period.end == after.period.start for before, after in pairwise(windows))
    assert all(each.period.start < each.period.end for each in windows)  # type: ignore[operator]
    labels = [each.label for each in windows]
    assert len(set(labels)) == len(labels)
    if window in (Window.HOUR, Window.DAY):  # they add up to days
        edges = {each.period.start for each in windows}
        day = local_date(start, tz) + timedelta(days=1)
        while (midnight := start_of_day(day, tz)) < span.end:  # type: ignore[operator]
            assert midnight in edges
            day += timedelta(days=1)


@given(now=INSTANTS, zone=st.sampled_from(ZONES), count=st.integers(1, 60), unit=st.sampled_from(["h", "d", "w", "mo"]))
def test_a_range_has_the_present_unit_and_follows_the_one_before(
    now: datetime, zone: str, count: int, unit: str
) -> None:
    tz = ZoneInfo(zone)
    span = range_until(f"{count}{unit}", now, tz)
    assert span.period.contains(now)
    assert span.previous is not None
    assert span.previous.end == span.period.start
    window = {"h": Window.HOUR, "d": Window.DAY, "w": Window.WEEK, "mo": Window.MONTH}[unit]
    if unit != "h":  # which the clock may have half of
        for each in (span.period, span.previous):
            assert len(windows_of(each, window, tz)) == count


def test_hours_of_the_day_on_which_the_clock_goes_back() -> None:
    day = Period(start_of_day(date(2026, 11, 1), NEW_YORK), start_of_day(date(2026, 11, 2), NEW_YORK))
    labels = [each.label for each in windows_of(day, Window.HOUR, NEW_YORK)]
    assert len(labels) == 25
    assert labels[1:3] == ["2026-11-01T01:00-04:00", "2026-11-01T01:00-05:00"]
    assert len(windows_of(day, Window.MINUTE, NEW_YORK)) == 25 * 60


def test_weeks_begin_on_monday_and_months_are_cut_where_the_span_ends() -> None:
    span = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 10, tzinfo=UTC))
    utc = ZoneInfo("UTC")
    assert [each.label for each in windows_of(span, Window.WEEK, utc)] == [f"2026-W0{week}" for week in range(1, 8)]
    months = [(each.label, each.period.end) for each in windows_of(span, Window.MONTH, utc)]
    assert months == [("2026-01", datetime(2026, 2, 1, tzinfo=UTC)), ("2026-02", span.end)]


@pytest.mark.parametrize(
    ("start", "end", "previous"),
    [
        (date(2026, 3, 1), date(2026, 4, 1), date(2026, 2, 1)),  # a month
        (date(2026, 3, 1), date(2026, 6, 1), date(2025, 12, 1)),  # three
        (date(2026, 3, 8), date(2026, 3, 10), date(2026, 3, 6)),  # two days, of which one is short
    ],
)
def test_the_span_before_has_as_many_local_units(start: date, end: date, previous: date) -> None:
    span = span_between(start, end, NEW_YORK)
    assert span.previous == Period(start_of_day(previous, NEW_YORK), span.period.start)


def test_the_span_before_instants_is_as_long() -> None:
    start, end = datetime(2026, 3, 8, 5, 30, tzinfo=UTC), datetime(2026, 3, 9, 7, tzinfo=UTC)
    assert span_between(start, end, NEW_YORK).previous == Period(start - (end - start), start)
    assert span_between(datetime(1900, 1, 2, tzinfo=UTC), end, NEW_YORK).previous is None


def test_a_year_before_a_leap_day() -> None:
    span = Period(start_of_day(date(2028, 2, 29), NEW_YORK), datetime(2028, 3, 1, 17, 30, tzinfo=UTC))
    before = Period(start_of_day(date(2027, 2, 28), NEW_YORK), datetime(2027, 3, 1, 17, 30, tzinfo=UTC))
    assert year_before(span, NEW_YORK) == before
    assert year_before(Period(None, span.end), NEW_YORK) is None


def test_too_much_is_refused() -> None:
    utc = ZoneInfo("UTC")
    decades = Period(datetime(1970, 1, 1, tzinfo=UTC), datetime(2020, 1, 1, tzinfo=UTC))
    with pytest.raises(Invalid, match="more than 100,000"):
        windows_of(decades, Window.HOUR, utc)
    minutes = Period(datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, 0, 1, tzinfo=UTC))
    with pytest.raises(Invalid, match="at most 24 hours"):
        windows_of(minutes, Window.MINUTE, utc)
    for text in ("0d", "30", "d", "30D", "123456d", "1y"):
        with pytest.raises(Invalid, match="is not understood"):
            range_until(text, datetime(2026, 1, 1, tzinfo=UTC), utc)
    with pytest.raises(Invalid, match="before 1900"):
        range_until("90000d", datetime(2026, 1, 1, tzinfo=UTC), utc)

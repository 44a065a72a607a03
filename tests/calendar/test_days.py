"""Days, weeks, months and periods against the oracle: every zone over every change of its clocks, and named cases."""

from __future__ import annotations

from bisect import bisect
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oracle import (
    DAY,
    FIRST,
    LAST,
    QUARTER,
    TICK,
    ZONES,
    around,
    days_begin,
    first_instant,
    first_of_next_month,
    moments,
    monday_of,
    monthly_starts,
    period_of,
    rules,
    thirty_day_starts,
    transitions,
    utc,
    wall_date,
)

from meterhouse.domain.local_time import days, edges, local_date, months, weeks, zone
from meterhouse.domain.period import MONTHLY, THIRTY_DAYS, Period, period_at


def test_the_sweep_is_not_empty() -> None:
    # Measured: 598 zones with 2821 transitions and 69 sets of rules in tz 2025b, 2720 and 71 in tzdata 2026.6.
    # A country that gives up summer time takes some away.
    assert len(ZONES) >= 590
    assert sum(len(transitions(name)) for name in ZONES) >= 2_500
    assert len({rules(name) for name in ZONES}) >= 60


@pytest.mark.parametrize("name", ZONES)
def test_quarter_hours_divide_every_offset_and_every_transition(name: str) -> None:
    tz = ZoneInfo(name)
    offset, changes = rules(name)
    assert offset % QUARTER == timedelta(0)
    for change in changes:
        assert change.after % QUARTER == timedelta(0)
        assert (change.instant - FIRST) % QUARTER == timedelta(0)
        assert (change.instant - TICK).astimezone(tz).utcoffset() == change.before
        assert change.instant.astimezone(tz).utcoffset() == change.after


@pytest.mark.parametrize("name", ZONES)
def test_days_begin_where_the_wall_says_around_every_transition(name: str) -> None:
    tz = zone(name)
    for moment in moments(name):
        before, after = wall_date(moment - TICK, tz), wall_date(moment, tz)
        listed = days(after + DAY, (after - before).days + 3)
        bounds = edges(listed, tz)
        assert bounds == days_begin(name, listed), moment
        assert listed[0] == before - DAY
        for day, edge in zip(listed, bounds, strict=True):
            assert [wall_date(instant, tz) for instant in around(edge)] == [day - DAY, day, day], moment
            assert [local_date(instant, tz) for instant in around(edge)] == [day - DAY, day, day], moment


@pytest.mark.parametrize("name", ZONES)
def test_days_around_every_transition_are_as_long_as_the_wall_shows_their_date(name: str) -> None:
    tz = zone(name)
    for moment in moments(name):
        middle = wall_date(moment, tz)
        listed = days(middle + DAY, 3)
        bounds = edges(listed, tz)
        walked = [moment - 4 * DAY + QUARTER * n for n in range(8 * 96)]
        shown = Counter(wall_date(instant, tz) for instant in walked)
        for day, (start, end) in zip(listed, pairwise(bounds), strict=False):
            assert end - start == shown[day] * QUARTER, moment
        # No quarter of an hour is lost or in two days.
        inside = [instant for instant in walked if bounds[0] <= instant < bounds[-1]]
        assert len(inside) == sum(shown[day] for day in listed[:-1])
        assert all(listed[bisect(bounds, instant) - 1] == wall_date(instant, tz) for instant in inside)


@pytest.mark.parametrize("name", ZONES)
def test_the_week_and_the_month_of_every_transition_begin_and_end_where_the_wall_says(name: str) -> None:
    tz = zone(name)
    for moment in moments(name):
        for day in {wall_date(moment - TICK, tz), wall_date(moment, tz)}:
            monday, first = monday_of(day), day.replace(day=1)
            assert edges(weeks(day, 1), tz) == days_begin(name, [monday, monday + 7 * DAY]), moment
            assert edges(months(day, 1), tz) == days_begin(name, [first, first_of_next_month(day)]), moment


@given(st.sampled_from(ZONES), st.data())
def test_the_windows_of_every_view_begin_where_the_wall_says(name: str, data: st.DataObject) -> None:
    tz = zone(name)
    now = data.draw(st.sampled_from(moments(name))) + data.draw(st.timedeltas(-3 * DAY, 3 * DAY))
    today = local_date(now, tz)
    assert today == wall_date(now, tz)
    for starts in (days(today, 7), days(today, 30), weeks(today, 12), months(today, 12)):
        bounds = edges(starts, tz)
        assert bounds == [first_instant(day, tz) for day in starts]
        assert bounds[-2] <= now < bounds[-1]


@pytest.mark.parametrize(
    ("name", "day", "start", "hours"),
    [
        ("Europe/Zurich", date(2024, 3, 31), utc(2024, 3, 30, 23), 23),
        ("Europe/Zurich", date(2024, 10, 27), utc(2024, 10, 26, 22), 25),
        ("America/New_York", date(2025, 3, 9), utc(2025, 3, 9, 5), 23),
        ("America/New_York", date(2025, 11, 2), utc(2025, 11, 2, 4), 25),
        # Half an hour of summer time.
        ("Australia/Lord_Howe", date(2024, 4, 7), utc(2024, 4, 6, 13), 24.5),
        ("Australia/Lord_Howe", date(2024, 10, 6), utc(2024, 10, 5, 13, 30), 23.5),
        ("Australia/Lord_Howe", date(2030, 4, 7), utc(2030, 4, 6, 13), 24.5),
        # Without midnight: the day begins at one o'clock.
        ("Africa/Cairo", date(2025, 4, 25), utc(2025, 4, 24, 22), 23),
        ("America/Asuncion", date(2024, 10, 6), utc(2024, 10, 6, 4), 23),
        ("America/Coyhaique", date(2024, 9, 8), utc(2024, 9, 8, 4), 23),
        ("America/Havana", date(2025, 3, 9), utc(2025, 3, 9, 5), 23),
        ("America/Santiago", date(2025, 9, 7), utc(2025, 9, 7, 4), 23),
        ("Asia/Beirut", date(2025, 3, 30), utc(2025, 3, 29, 22), 23),
        ("Atlantic/Azores", date(2025, 3, 30), utc(2025, 3, 30, 1), 23),
        # With two midnights, of which the second is where the day begins; the day before has 25 hours.
        ("America/Asuncion", date(2024, 3, 23), utc(2024, 3, 23, 3), 25),
        ("America/Asuncion", date(2024, 3, 24), utc(2024, 3, 24, 4), 24),
        ("Asia/Beirut", date(2025, 10, 25), utc(2025, 10, 24, 21), 25),
        ("Asia/Beirut", date(2025, 10, 26), utc(2025, 10, 25, 22), 24),
        ("Asia/Almaty", date(2024, 2, 29), utc(2024, 2, 28, 18), 25),
        # With midnight twice over, both its own: the clock goes from one back to midnight.
        ("America/Havana", date(2025, 11, 2), utc(2025, 11, 2, 4), 25),
        ("Atlantic/Azores", date(2025, 10, 26), utc(2025, 10, 26), 25),
        # Quarters of an hour, with and without summer time.
        ("Asia/Kathmandu", date(2024, 2, 29), utc(2024, 2, 28, 18, 15), 24),
        ("Australia/Eucla", date(2028, 2, 29), utc(2028, 2, 28, 15, 15), 24),
        ("Pacific/Chatham", date(2025, 4, 6), utc(2025, 4, 5, 10, 15), 25),
        ("Pacific/Chatham", date(2025, 9, 28), utc(2025, 9, 27, 11, 15), 23),
        # Winter time for Ramadan, which moves through the years.
        ("Africa/Casablanca", date(2024, 3, 10), utc(2024, 3, 9, 23), 25),
        ("Africa/Casablanca", date(2024, 4, 14), utc(2024, 4, 14), 23),
        ("Africa/Casablanca", date(2025, 2, 23), utc(2025, 2, 22, 23), 25),
        ("Africa/Casablanca", date(2025, 4, 6), utc(2025, 4, 6), 23),
        # The first and the last to see a day.
        ("Pacific/Kiritimati", date(2024, 2, 29), utc(2024, 2, 28, 10), 24),
        ("Pacific/Apia", date(2024, 2, 29), utc(2024, 2, 28, 11), 24),
        ("Etc/GMT+12", date(2024, 2, 29), utc(2024, 2, 29, 12), 24),
    ],
)
def test_a_day_begins_and_ends_at_the_named_instants(name: str, day: date, start: datetime, hours: float) -> None:
    tz = zone(name)
    bounds = edges(days(day, 1), tz)
    assert bounds == [start, start + timedelta(hours=hours)]
    assert bounds == [first_instant(day, tz), first_instant(day + DAY, tz)]


@pytest.mark.parametrize(
    ("name", "last", "start", "end"),
    [
        ("UTC", date(2024, 12, 30), utc(2024, 12, 30), utc(2025, 1, 6)),
        ("UTC", date(2025, 1, 5), utc(2024, 12, 30), utc(2025, 1, 6)),
        ("Europe/Zurich", date(2024, 12, 31), utc(2024, 12, 29, 23), utc(2025, 1, 5, 23)),
        ("America/New_York", date(2025, 1, 1), utc(2024, 12, 30, 5), utc(2025, 1, 6, 5)),
        ("Asia/Kathmandu", date(2026, 12, 31), utc(2026, 12, 27, 18, 15), utc(2027, 1, 3, 18, 15)),
        ("Pacific/Chatham", date(2027, 1, 1), utc(2026, 12, 27, 10, 15), utc(2027, 1, 3, 10, 15)),
        ("Australia/Lord_Howe", date(2027, 1, 3), utc(2026, 12, 27, 13), utc(2027, 1, 3, 13)),
        ("Australia/Lord_Howe", date(2027, 1, 4), utc(2027, 1, 3, 13), utc(2027, 1, 10, 13)),
        # A year that begins with its week, and one whose first day is the last of a week.
        ("Australia/Eucla", date(2024, 1, 1), utc(2023, 12, 31, 15, 15), utc(2024, 1, 7, 15, 15)),
        ("Australia/Eucla", date(2028, 1, 2), utc(2027, 12, 26, 15, 15), utc(2028, 1, 2, 15, 15)),
    ],
)
def test_a_week_over_the_end_of_a_year_runs_from_monday_to_monday(
    name: str, last: date, start: datetime, end: datetime
) -> None:
    assert edges(weeks(last, 1), zone(name)) == [start, end]


@pytest.mark.parametrize(
    ("name", "last", "hours"),
    [
        ("Europe/Zurich", date(2024, 3, 31), 167),
        ("Europe/Zurich", date(2024, 4, 1), 168),
        ("Australia/Lord_Howe", date(2025, 4, 6), 168.5),
        ("Australia/Lord_Howe", date(2025, 10, 5), 167.5),
        ("Africa/Cairo", date(2024, 10, 31), 169),
        ("Africa/Cairo", date(2024, 4, 26), 167),
    ],
)
def test_a_week_is_as_long_as_its_days(name: str, last: date, hours: float) -> None:
    start, end = edges(weeks(last, 1), zone(name))
    assert end - start == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("Asia/Beirut", utc(2024, 2, 29, 22), utc(2024, 3, 31, 21)),
        ("Europe/Zurich", utc(2024, 2, 29, 23), utc(2024, 3, 31, 22)),
        ("Pacific/Chatham", utc(2024, 2, 29, 10, 15), utc(2024, 3, 31, 10, 15)),
        ("America/Havana", utc(2024, 3, 1, 5), utc(2024, 4, 1, 4)),
        ("Africa/Casablanca", utc(2024, 2, 29, 23), utc(2024, 4, 1)),
        ("Asia/Almaty", utc(2024, 2, 29, 19), utc(2024, 3, 31, 19)),
    ],
)
def test_march_2024_in_the_zones_that_changed_their_clocks_in_it(name: str, start: datetime, end: datetime) -> None:
    assert edges(months(date(2024, 3, 15), 1), zone(name)) == [start, end]


times_of_day = st.sampled_from([time(), time(0, 0, 0, 1), time(9, 30), time(23, 59, 59, 999_999)]) | st.times()
late_anchors = st.builds(
    lambda start, day, clock: datetime.combine(start.replace(day=day), clock, UTC),
    st.sampled_from([date(year, month, 1) for year in (2023, 2024) for month in (1, 3, 5, 7, 8, 10, 12)]),
    st.integers(28, 31),
    times_of_day,
)
leap_days = st.builds(lambda year, clock: datetime.combine(date(year, 2, 29), clock, UTC), st.just(2024), times_of_day)
short_months = st.builds(
    lambda month, day, clock: datetime.combine(date(2024, month, day), clock, UTC),
    st.sampled_from([4, 6, 9, 11]),
    st.integers(29, 30),
    times_of_day,
)
anchors = late_anchors | leap_days | short_months


@given(anchors)
def test_monthly_periods_turn_over_on_the_microsecond_over_two_leap_years(anchor: datetime) -> None:
    starts = list(monthly_starts(anchor, LAST))
    assert len(starts) > 70
    for last, start, end in zip(starts, starts[1:], starts[2:], strict=False):
        assert period_at(anchor, MONTHLY, start - TICK) == Period(last, start)
        assert period_at(anchor, MONTHLY, start) == Period(start, end)
        assert period_at(anchor, MONTHLY, start + TICK) == Period(start, end)


@given(anchors, st.datetimes(datetime(2025, 1, 1), datetime(2030, 12, 31), timezones=st.just(UTC)))  # noqa: DTZ001
def test_every_instant_is_in_the_monthly_period_that_counting_from_the_anchor_finds(
    anchor: datetime, now: datetime
) -> None:
    assert period_at(anchor, MONTHLY, now) == Period(*period_of(monthly_starts(anchor, now), now))


@pytest.mark.parametrize(
    ("anchor", "starts"),
    [
        (
            utc(2024, 1, 31, 9, 30),
            [utc(2024, 2, 29, 9, 30), utc(2024, 3, 31, 9, 30), utc(2024, 4, 30, 9, 30), utc(2024, 5, 31, 9, 30)],
        ),
        (utc(2024, 1, 30), [utc(2024, 2, 29), utc(2024, 3, 30), utc(2024, 4, 30)]),
        (utc(2023, 12, 29, 23, 59, 59), [utc(2024, 1, 29, 23, 59, 59), utc(2024, 2, 29, 23, 59, 59)]),
        (utc(2024, 2, 29), [utc(2024, 3, 29), utc(2024, 4, 29)]),
    ],
)
def test_the_months_after_a_late_anchor(anchor: datetime, starts: list[datetime]) -> None:
    for start, end in pairwise([anchor, *starts]):
        assert period_at(anchor, MONTHLY, start) == period_at(anchor, MONTHLY, end - TICK) == Period(start, end)


@pytest.mark.parametrize(
    ("year", "turn"),
    [
        (2025, utc(2025, 2, 28, 12)),
        (2026, utc(2026, 2, 28, 12)),
        (2027, utc(2027, 2, 28, 12)),
        (2028, utc(2028, 2, 29, 12)),
    ],
)
@pytest.mark.parametrize("day", [29, 30, 31])
def test_february_ends_the_periods_of_the_29th_30th_and_31st_on_its_last_day(
    day: int, year: int, turn: datetime
) -> None:
    anchor = utc(2024, 1, day, 12)
    assert period_at(anchor, MONTHLY, turn - TICK) == Period(utc(year, 1, day, 12), turn)
    assert period_at(anchor, MONTHLY, turn) == Period(turn, utc(year, 3, day, 12))


@given(anchors)
def test_thirty_day_periods_turn_over_on_the_microsecond_for_years(anchor: datetime) -> None:
    starts = list(thirty_day_starts(anchor, LAST))
    assert len(starts) > 70
    for last, start, end in zip(starts, starts[1:], starts[2:], strict=False):
        assert period_at(anchor, THIRTY_DAYS, start - TICK) == Period(last, start)
        assert period_at(anchor, THIRTY_DAYS, start) == Period(start, end)
        assert period_at(anchor, THIRTY_DAYS, start + TICK) == Period(start, end)

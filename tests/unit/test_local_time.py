from bisect import bisect
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.local_time import days, edges, end_of_date, local_date, months, start_of_day, weeks, zone

TICK = timedelta(microseconds=1)

# Where clocks were set back over midnight, the first local minute or so of the new day came before the day before was
# shown once more; it is in the window of the day before, which is whole.
SET_BACK_OVER_MIDNIGHT = {
    "America/Goose_Bay",
    "America/Moncton",
    "America/Phoenix",
    "America/St_Johns",
    "Canada/Newfoundland",
    "Pacific/Guam",
    "Pacific/Saipan",
    "US/Arizona",
}

zone_names = st.sampled_from(sorted(available_timezones() - {"localtime"}))
dates = st.dates(date(1900, 1, 15), date(2261, 12, 1)) | st.dates(date(1970, 1, 1), date(2037, 12, 31))


def utc(year: int, month: int, day: int, *clock: int) -> datetime:
    return datetime(year, month, day, *clock, tzinfo=UTC)


@given(zone_names, dates, st.integers(1, 40), st.data())
@example("Pacific/Apia", date(2011, 12, 31), 5, None)
def test_windows_are_contiguous_and_hold_their_own_dates(
    name: str, last: date, count: int, data: st.DataObject | None
) -> None:
    tz = zone(name)
    starts = days(last, count)
    bounds = edges(starts, tz)
    assert bounds == sorted(bounds)
    for day, start, end in zip(starts, bounds, bounds[1:], strict=False):
        assert local_date(start - TICK, tz) < day <= local_date(start, tz)
        if start < end and name not in SET_BACK_OVER_MIDNIGHT:
            share = data.draw(st.floats(0, 1)) if data else 0.5
            inside = min(start + (end - start) * share, end - TICK)
            assert {local_date(instant, tz) for instant in (start, inside, end - TICK)} == {day}


@given(
    zone_names.filter(lambda name: name not in SET_BACK_OVER_MIDNIGHT), dates, st.timedeltas(timedelta(0), timedelta(1))
)
def test_an_instant_is_in_the_window_of_its_local_date(name: str, day: date, time: timedelta) -> None:
    tz = zone(name)
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) + time
    today = local_date(instant, tz)
    starts = days(today + timedelta(days=3), 7)
    assert starts[bisect(edges(starts, tz), instant) - 1] == today


@pytest.mark.parametrize(
    ("name", "day", "start"),
    [
        ("Africa/Cairo", date(2024, 4, 26), utc(2024, 4, 25, 22)),
        ("America/Asuncion", date(2023, 10, 1), utc(2023, 10, 1, 4)),
        ("Asia/Beirut", date(2024, 3, 31), utc(2024, 3, 30, 22)),
        ("America/Havana", date(2024, 3, 10), utc(2024, 3, 10, 5)),
        ("America/Santiago", date(2024, 9, 8), utc(2024, 9, 8, 4)),
        ("Asia/Tehran", date(2022, 3, 22), utc(2022, 3, 21, 20, 30)),
    ],
)
def test_a_day_without_midnight_begins_at_the_jump(name: str, day: date, start: datetime) -> None:
    tz = zone(name)
    assert start_of_day(day, tz) == start
    assert start.astimezone(tz).hour == 1
    assert start_of_day(day + timedelta(days=1), tz) - start == timedelta(hours=23)


def test_a_jump_over_midnight_that_began_before_it() -> None:
    # 23:30 became 00:30 of the next day: midnight by the old offset comes half an hour after the day has begun.
    start = start_of_day(date(1919, 3, 31), zone("America/Toronto"))
    assert start == utc(1919, 3, 31, 4, 30)
    assert local_date(start, zone("America/Toronto")) == date(1919, 3, 31)
    assert local_date(start - TICK, zone("America/Toronto")) == date(1919, 3, 30)


def test_a_day_that_was_skipped_is_an_empty_window() -> None:
    tz = zone("Pacific/Apia")
    assert edges(days(date(2011, 12, 31), 3), tz) == [
        utc(2011, 12, 29, 10),
        utc(2011, 12, 30, 10),
        utc(2011, 12, 30, 10),
        utc(2011, 12, 31, 10),
    ]


@pytest.mark.parametrize(
    ("name", "day", "hours"),
    [
        ("Europe/Zurich", date(2026, 3, 29), 23),
        ("Europe/Zurich", date(2026, 10, 25), 25),
        ("Europe/Zurich", date(2026, 7, 1), 24),
        ("America/New_York", date(2026, 3, 8), 23),
        ("America/New_York", date(2026, 11, 1), 25),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24.5),
        ("Australia/Lord_Howe", date(2026, 10, 4), 23.5),
        ("America/Havana", date(2024, 11, 3), 25),
        ("Africa/Cairo", date(2024, 10, 31), 25),
        ("Asia/Kathmandu", date(2026, 3, 29), 24),
        ("UTC", date(2016, 12, 31), 24),
    ],
)
def test_days_are_as_long_as_the_clock_makes_them(name: str, day: date, hours: float) -> None:
    start, end = edges(days(day, 1), zone(name))
    assert end - start == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("Asia/Kathmandu", utc(2025, 12, 31, 18, 15)),
        ("Asia/Kolkata", utc(2025, 12, 31, 18, 30)),
        ("Pacific/Chatham", utc(2025, 12, 31, 10, 15)),
        ("America/St_Johns", utc(2026, 1, 1, 3, 30)),
        ("Pacific/Kiritimati", utc(2025, 12, 31, 10)),
        ("Etc/GMT+12", utc(2026, 1, 1, 12)),
    ],
)
def test_offsets_of_half_and_quarter_hours(name: str, start: datetime) -> None:
    assert start_of_day(date(2026, 1, 1), zone(name)) == start
    assert local_date(start, zone(name)) == date(2026, 1, 1)
    assert local_date(start - TICK, zone(name)) == date(2025, 12, 31)


def test_kathmandu_before_its_quarter_hour() -> None:
    first_day_of_the_new_offset = date(1986, 1, 1)
    start, end = edges(days(first_day_of_the_new_offset, 1), zone("Asia/Kathmandu"))
    assert end - start == timedelta(hours=23, minutes=45)


def test_a_clock_set_back_over_midnight_begins_the_day_once() -> None:
    bounds = edges(days(date(2006, 10, 30), 3), zone("America/St_Johns"))  # 00:01 became 23:01 of the day before
    assert bounds == [
        utc(2006, 10, 28, 2, 30),
        utc(2006, 10, 29, 3, 30),  # the second midnight: the hour before it has the date of the 28th
        utc(2006, 10, 30, 3, 30),
        utc(2006, 10, 31, 3, 30),
    ]


def begins_slowly(day: date, tz: ZoneInfo) -> datetime:
    """The minute after the last one that has an earlier date, by looking at every minute of four days."""
    noon = utc(day.year, day.month, day.day, 12)
    minutes = (noon + timedelta(minutes=number) for number in range(-2 * 24 * 60, 2 * 24 * 60))
    return max(minute for minute in minutes if minute.astimezone(tz).date() < day) + timedelta(minutes=1)


@settings(max_examples=60)
@given(zone_names | st.sampled_from(sorted(SET_BACK_OVER_MIDNIGHT)), st.dates(date(1972, 1, 3), date(2037, 12, 31)))
@example("America/St_Johns", date(2006, 10, 29))
@example("America/St_Johns", date(2010, 11, 7))
@example("America/Goose_Bay", date(2009, 11, 1))
@example("America/Havana", date(2024, 11, 3))  # 01:00 became 00:00 of the same day
@example("America/Asuncion", date(2024, 3, 24))  # 00:00 became 23:00
@example("Pacific/Apia", date(2011, 12, 30))  # never was
def test_a_day_begins_after_the_last_minute_of_an_earlier_date(name: str, day: date) -> None:
    assert start_of_day(day, zone(name)) == begins_slowly(day, zone(name))


@pytest.mark.parametrize("name", ["America/St_Johns", "America/Goose_Bay"])
def test_every_clock_change_at_a_minute_past_midnight_until_2011(name: str) -> None:
    for year in range(1988, 2012):
        for month in (10, 11):
            for number in range(1, 9) if month == 11 else range(24, 32):
                day = date(year, month, number)
                if day.weekday() == 6:  # Sunday
                    assert start_of_day(day, zone(name)) == begins_slowly(day, zone(name))


@given(dates, st.integers(1, 100))
def test_days_end_with_the_last(last: date, count: int) -> None:
    listed = days(last, count)
    assert len(listed) == count + 1
    assert listed[-2] == last
    assert all(after - before == timedelta(days=1) for before, after in pairwise(listed))


@given(dates, st.integers(1, 60))
def test_weeks_begin_on_mondays_and_the_last_holds_the_day(last: date, count: int) -> None:
    mondays = weeks(last, count)
    assert len(mondays) == count + 1
    assert all(monday.weekday() == 0 for monday in mondays)
    assert all(after - before == timedelta(weeks=1) for before, after in pairwise(mondays))
    assert mondays[-2] <= last < mondays[-1]


@pytest.mark.parametrize(
    ("last", "mondays"),
    [
        (date(2026, 1, 1), [date(2025, 12, 22), date(2025, 12, 29), date(2026, 1, 5)]),
        (date(2024, 12, 31), [date(2024, 12, 23), date(2024, 12, 30), date(2025, 1, 6)]),
        (date(2024, 1, 1), [date(2023, 12, 25), date(2024, 1, 1), date(2024, 1, 8)]),
        (date(2023, 1, 1), [date(2022, 12, 19), date(2022, 12, 26), date(2023, 1, 2)]),
    ],
)
def test_weeks_run_over_the_end_of_a_year(last: date, mondays: list[date]) -> None:
    assert weeks(last, 2) == mondays


@given(dates, st.integers(1, 60))
def test_months_begin_on_the_first_and_the_last_holds_the_day(last: date, count: int) -> None:
    firsts = months(last, count)
    assert len(firsts) == count + 1
    assert all(first.day == 1 for first in firsts)
    assert all(before < after <= before + timedelta(days=31) for before, after in pairwise(firsts))
    assert firsts[-2] <= last < firsts[-1]


def test_twelve_months_run_over_the_end_of_a_year() -> None:
    firsts = months(date(2026, 1, 31), 12)
    assert (firsts[0], firsts[-2], firsts[-1]) == (date(2025, 2, 1), date(2026, 1, 1), date(2026, 2, 1))


@pytest.mark.parametrize("name", ["UTC", "Europe/Zurich", "America/Argentina/Buenos_Aires", "Etc/GMT+5", "EST5EDT"])
def test_zones_of_the_tz_database_are_known(name: str) -> None:
    assert zone(name) == ZoneInfo(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "utc ",
        "europe/zurich",
        "Europe/Zurich\n",
        "Europe/Zurich\0",
        "Europe",
        "Europe/",
        "/etc/localtime",
        "/usr/share/zoneinfo/UTC",
        "../../etc/passwd",
        "Europe/../UTC",
        "./UTC",
        "localtime",  # the machine's own zone, not one of the database
        "posixrules",
        "posix/UTC",
        "right/UTC",
        "tzdata.zi",
        "+01:00",
        "UTC+1",
        "GMT+25",
        "Z",
        "CEST",
        "Mars/Olympus_Mons",
        "é",
        "\ud800",
        "x" * 10_240,
    ],
)
def test_other_zones_are_refused(name: str) -> None:
    with pytest.raises(Invalid, match="IANA time zone") as refused:
        zone(name)
    assert len(str(refused.value)) < 400


@given(st.text())
def test_no_name_raises_anything_but_invalid(name: str) -> None:
    with pytest.raises(Invalid):
        zone(name)


@given(zone_names, dates, st.timedeltas(timedelta(0), timedelta(1)), st.data())
@example("America/St_Johns", date(2010, 11, 7), timedelta(hours=2, minutes=30, seconds=30), None)  # back to the 6th
@example("Pacific/Apia", date(2011, 12, 30), timedelta(hours=9), None)
@example("Pacific/Kwajalein", date(1969, 9, 30), timedelta(hours=12, minutes=30), None)
def test_the_date_stays_what_it_is_until_its_end(
    name: str, day: date, time: timedelta, data: st.DataObject | None
) -> None:
    tz = zone(name)
    instant = datetime(day.year, day.month, day.day, tzinfo=UTC) + time
    end = end_of_date(instant, tz)
    assert instant < end <= instant + timedelta(hours=24)
    share = data.draw(st.floats(0, 1)) if data else 0.5
    inside = min(instant + (end - instant) * share, end - TICK)
    assert local_date(inside, tz) == local_date(end - TICK, tz) == local_date(instant, tz)
    # Either the next date begins there, or the clock is changed there.
    began = local_date(end, tz) != local_date(instant, tz)
    assert began or end.astimezone(tz).utcoffset() != instant.astimezone(tz).utcoffset()


@pytest.mark.parametrize(
    "name", sorted(SET_BACK_OVER_MIDNIGHT | {"America/Havana", "America/Santiago", "Africa/Cairo"})
)
def test_the_date_stays_what_it_is_around_every_change_of_a_clock_at_midnight(name: str) -> None:
    tz = zone(name)
    hours = [utc(1999, 1, 1) + timedelta(hours=number) for number in range(24 * 366 * 13)]
    changed = [hour for hour, later in pairwise(hours) if _offset(hour, tz) != _offset(later, tz)]
    for hour in changed:
        minutes = [hour + timedelta(minutes=number) for number in range(61)]
        change = next(minute for minute in minutes if _offset(minute, tz) != _offset(hour, tz))
        around = [change + timedelta(minutes=number, seconds=-30) for number in (-89, -59, -9, 0, 1, 9, 30, 59, 61, 89)]
        for place, instant in enumerate(around):
            end = end_of_date(instant, tz)
            held = [later for later in around[place:] if later < end]
            assert {local_date(later, tz) for later in held} == {local_date(instant, tz)}


def _offset(instant: datetime, tz: ZoneInfo) -> timedelta | None:
    return instant.astimezone(tz).utcoffset()

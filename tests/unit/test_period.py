from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from meterhouse.domain.errors import Invalid
from meterhouse.domain.period import (
    ALL_TIME,
    FIRST_INSTANT,
    LAST_INSTANT,
    MONTHLY,
    THIRTY_DAYS,
    Interval,
    Period,
    add_months,
    format_instant,
    parse_instant,
    period_at,
)

TICK = timedelta(microseconds=1)

instants = st.datetimes(
    FIRST_INSTANT.replace(tzinfo=None), LAST_INSTANT.replace(tzinfo=None) - TICK, timezones=st.just(UTC)
)
intervals = st.builds(
    lambda count, unit: Interval.parse(f"P{count}{unit}"),
    st.integers(1, 60) | st.integers(1, 9999),
    st.sampled_from("MD"),
)
anchors = instants | st.builds(
    lambda instant, day: add_months(instant.replace(month=1, day=day), instant.month % 2 * 2),
    instants,
    st.integers(28, 31),
)


def utc(year: int, month: int, day: int, *clock: int) -> datetime:
    return datetime(year, month, day, *clock, tzinfo=UTC)


@given(anchors, intervals, instants)
@example(utc(2024, 1, 31), MONTHLY, utc(2024, 2, 29) - TICK)
@example(utc(2024, 1, 31, 23, 59, 59), MONTHLY, utc(2024, 2, 29, 23, 59, 58))
def test_every_instant_is_in_exactly_one_period(anchor: datetime, interval: Interval, instant: datetime) -> None:
    period = period_at(anchor, interval, instant)
    assert period.start is not None
    assert period.end is not None
    assert period.start <= instant < period.end
    # No other period overlaps this one: those of its first and last instants are itself, those beside it touch it.
    assert period_at(anchor, interval, period.start) == period
    assert period_at(anchor, interval, period.end - TICK) == period
    assert period_at(anchor, interval, period.end).start == period.end
    assert period_at(anchor, interval, period.start - TICK).end == period.start


@given(anchors, intervals)
def test_the_anchor_starts_a_period(anchor: datetime, interval: Interval) -> None:
    assert period_at(anchor, interval, anchor).start == anchor


@given(anchors, st.integers(1, 24), instants)
def test_monthly_periods_keep_the_day_and_time_of_the_anchor(anchor: datetime, months: int, instant: datetime) -> None:
    start = period_at(anchor, Interval(months, 0), instant).start
    assert start is not None
    assert start.timetz() == anchor.timetz()
    last_day_of_month = (start + timedelta(days=1)).month != start.month
    assert start.day == anchor.day or (start.day < anchor.day and last_day_of_month)
    assert ((start.year - anchor.year) * 12 + start.month - anchor.month) % months == 0


@pytest.mark.parametrize(("year", "end_of_february"), [(2026, 28), (2024, 29), (2100, 28), (2000, 29)])
def test_the_31st_gives_the_end_of_february_and_then_the_31st_again(year: int, end_of_february: int) -> None:
    anchor = utc(year, 1, 31, 9, 30)
    february = period_at(anchor, MONTHLY, anchor)
    assert february == Period(anchor, utc(year, 2, end_of_february, 9, 30))
    march = period_at(anchor, MONTHLY, utc(year, 3, 1))
    assert march == Period(utc(year, 2, end_of_february, 9, 30), utc(year, 3, 31, 9, 30))
    assert period_at(anchor, MONTHLY, utc(year, 4, 30, 9, 30)).start == utc(year, 4, 30, 9, 30)


def test_a_leap_day_anchor_comes_back_every_four_years() -> None:
    anchor = utc(2024, 2, 29)
    assert period_at(anchor, Interval(12, 0), utc(2027, 6, 1)) == Period(utc(2027, 2, 28), utc(2028, 2, 29))


def test_after_95_days_thirty_day_cycles_have_moved_by_90() -> None:
    anchor = utc(2026, 1, 10, 6)
    period = period_at(anchor, THIRTY_DAYS, anchor + timedelta(days=95))
    assert period == Period(anchor + timedelta(days=90), anchor + timedelta(days=120))


@pytest.mark.parametrize(
    ("interval", "instant", "expected"),
    [
        (MONTHLY, utc(2026, 5, 30, 23), Period(utc(2026, 4, 30), utc(2026, 5, 31))),
        (MONTHLY, utc(2024, 2, 29), Period(utc(2024, 2, 29), utc(2024, 3, 31))),
        (Interval(3, 0), utc(2025, 12, 31), Period(utc(2025, 11, 30), utc(2026, 2, 28))),
        (THIRTY_DAYS, utc(2026, 5, 30), Period(utc(2026, 5, 1), utc(2026, 5, 31))),
    ],
)
def test_periods_are_counted_backwards_too(interval: Interval, instant: datetime, expected: Period) -> None:
    assert period_at(utc(2026, 5, 31), interval, instant) == expected


def test_a_period_is_half_open() -> None:
    period = Period(utc(2026, 1, 1), utc(2026, 2, 1))
    assert period.contains(utc(2026, 1, 1))
    assert period.contains(utc(2026, 2, 1) - TICK)
    assert not period.contains(utc(2026, 2, 1))
    assert not period.contains(utc(2026, 1, 1) - TICK)


def test_an_open_side_contains_everything() -> None:
    assert Period(None, utc(2026, 1, 1)).contains(FIRST_INSTANT)
    assert not Period(None, utc(2026, 1, 1)).contains(utc(2026, 1, 1))
    assert Period(utc(2026, 1, 1), None).contains(LAST_INSTANT)
    assert not Period(utc(2026, 1, 1), None).contains(utc(2025, 12, 31))
    assert ALL_TIME.contains(FIRST_INSTANT)
    assert ALL_TIME.contains(LAST_INSTANT)


@pytest.mark.parametrize("text", ["P1M", "P3M", "P12M", "P30D", "P1D", "P9999D", "P9999M"])
def test_intervals_are_written_as_they_are_read(text: str) -> None:
    assert str(Interval.parse(text)) == text


@pytest.mark.parametrize(
    "text",
    ["", "P", "1M", "P0M", "P01M", "P-1M", "P1Y", "P1W", "P1M1D", "PT1M", "p1m", "P1.5M", "P10000D", "P1M\n", "P١M"],
)
def test_other_intervals_are_refused(text: str) -> None:
    with pytest.raises(Invalid, match="interval"):
        Interval.parse(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-01-31T09:30:00Z", utc(2026, 1, 31, 9, 30)),
        ("2026-01-31t09:30:00z", utc(2026, 1, 31, 9, 30)),
        ("2026-01-31 09:30:00Z", utc(2026, 1, 31, 9, 30)),
        ("2026-01-31T09:30:00.5Z", utc(2026, 1, 31, 9, 30, 0, 500_000)),
        ("2026-01-31T09:30:00+05:45", utc(2026, 1, 31, 3, 45)),
        ("2026-01-31T09:30:00-00:00", utc(2026, 1, 31, 9, 30)),
        ("2025-12-31T23:59:59-12:00", utc(2026, 1, 1, 11, 59, 59)),
        ("2024-02-29T00:00:00Z", utc(2024, 2, 29)),
        ("2026-01-31T09:30:59.1234567Z", utc(2026, 1, 31, 9, 30, 59, 123_456)),
        ("2026-01-31T23:59:59.9999999Z", utc(2026, 1, 31, 23, 59, 59, 999_999)),
        ("2026-01-31T23:59:59.999999999Z", utc(2026, 1, 31, 23, 59, 59, 999_999)),
        ("1900-01-01T00:00:00Z", FIRST_INSTANT),
        ("2261-12-31T23:59:59.999999Z", LAST_INSTANT - TICK),
        ("2262-01-01T00:30:00+01:00", utc(2261, 12, 31, 23, 30)),
        ("1990-12-31T23:59:60Z", utc(1990, 12, 31, 23, 59, 59, 999_999)),
        ("1990-12-31T15:59:60-08:00", utc(1990, 12, 31, 23, 59, 59, 999_999)),
        ("2016-12-31T23:59:60.5Z", utc(2016, 12, 31, 23, 59, 59, 999_999)),
        ("2012-06-30 23:59:60z", utc(2012, 6, 30, 23, 59, 59, 999_999)),
    ],
)
def test_instants_are_read(text: str, expected: datetime) -> None:
    instant = parse_instant(text)
    assert instant == expected
    assert instant.utcoffset() == timedelta(0)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T09:30:00",
        "2026-01-31T09:30Z",
        "2026-01-31T09:30:00.Z",
        "2026-01-31T09:30:00,5Z",
        "2026-01-31T09:30:00 Z",
        "2026-01-31T09:30:00Z\n",
        "2026-01-31T09:30:00+0100",
        "2026-01-31T09:30:00+01",
        "2026-01-31T09:30:00[Europe/Zurich]",
        "20260131T093000Z",
        "2026-W05-6T09:30:00Z",
        "٢٠٢٦-01-31T09:30:00Z",
        "2026-02-30T00:00:00Z",
        "2026-02-29T00:00:00Z",
        "2026-13-01T00:00:00Z",
        "2026-00-01T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2016-12-30T23:59:60Z",
        "2016-12-31T23:58:60Z",
        "2016-12-31T23:59:60+01:00",
        "2016-12-31T23:59:61Z",
        "2016-12-31T24:59:60Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+05:60",
        "2026-01-01T00:00:00-05:99",
        "1899-12-31T23:59:59.999999Z",
        "1900-01-01T00:00:00+00:01",
        "2262-01-01T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "1" * 100_000,
        "2026-01-01T00:00:00." + "1" * 100_000 + "Z",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse_instant(text)
    assert len(str(refused.value)) < 250


@given(instants, st.text("0123456789", min_size=1, max_size=18))
def test_digits_after_the_microsecond_are_cut(instant: datetime, fraction: str) -> None:
    second = instant.replace(microsecond=0)
    parsed = parse_instant(f"{second:%Y-%m-%dT%H:%M:%S}.{fraction}Z")
    assert parsed == second.replace(microsecond=int(fraction.ljust(6, "0")[:6]))


@given(instants, st.integers(-23 * 60 - 59, 23 * 60 + 59))
def test_every_offset_names_the_same_instant(instant: datetime, minutes: int) -> None:
    local = instant.astimezone(timezone(timedelta(minutes=minutes)))
    assert parse_instant(local.isoformat()) == instant


@given(instants)
def test_instants_are_written_as_they_are_read(instant: datetime) -> None:
    text = format_instant(instant)
    assert text.endswith("Z")
    assert ("." in text) == (instant.microsecond != 0)
    assert parse_instant(text) == instant


@given(st.text(max_size=60))
def test_no_text_raises_anything_but_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        parse_instant(text)

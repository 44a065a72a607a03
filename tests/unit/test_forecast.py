"""Forecasts: what must hold whatever the past was, and pasts whose future is known."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.forecast import HISTORY_HOURS, Forecast, Method, forecast, outlook

DAY, WEEK = 24, 168
HOUR = timedelta(hours=1)
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
END = datetime(2026, 4, 1, tzinfo=UTC)
QUANTITIES = st.decimals(0, 1000, places=2)
SIGNED = st.decimals(-1000, 1000, places=2)


@st.composite
def pasts(draw: st.DrawFn, amounts: st.SearchStrategy[Decimal] = QUANTITIES) -> list[Decimal]:
    """Some hours, busy and silent ones; short pasts and long ones."""
    cycle = draw(st.lists(amounts | st.just(Decimal(0)), min_size=1, max_size=60))
    length = draw(st.integers(0, 5 * DAY) | st.integers(0, HISTORY_HOURS))
    bursts = draw(st.dictionaries(st.integers(0, HISTORY_HOURS), amounts, max_size=5))
    return [bursts.get(hour, cycle[hour % len(cycle)]) for hour in range(length)]


def of(
    past: list[Decimal],
    used: Decimal | str = "0",
    limit: Decimal | str | None = None,
    *,
    now: datetime = NOW,
    end: datetime = END,
) -> Forecast | None:
    expecting = outlook(past, now.replace(minute=0, second=0, microsecond=0), end)
    limited = None if limit is None else Decimal(limit)
    return None if expecting is None else forecast(expecting, Decimal(used), limited, now)


def steady(hours: int, amount: str = "1") -> list[Decimal]:
    return [Decimal(amount)] * hours


@given(pasts(), QUANTITIES, st.integers(0, 3_599_999_999), st.none() | QUANTITIES)
def test_what_only_grows_is_never_forecast_below_what_is_used(
    past: list[Decimal], used: Decimal, microseconds: int, limit: Decimal | None
) -> None:
    now = NOW + timedelta(microseconds=microseconds)
    found = of(past, used, limit, now=now)
    if found is None:
        return
    assert found.used >= used >= 0
    assert (found.low is None) == (found.high is None)
    if found.low is not None and found.high is not None:
        assert used <= found.low <= found.used <= found.high
    if found.exhausted_at is not None:
        assert limit is not None
        assert now <= found.exhausted_at < END
        assert (found.exhausted_at == now) == (used >= limit)
    elif limit is not None:
        assert used < limit
        assert found.used <= limit + Decimal("0.01")


@given(pasts(SIGNED), SIGNED, st.none() | SIGNED)
def test_an_interval_holds_the_forecast_also_where_totals_fall(
    past: list[Decimal], used: Decimal, limit: Decimal | None
) -> None:
    found = of(past, used, limit)
    if found is not None and found.low is not None and found.high is not None:
        assert found.low <= found.used <= found.high
    if found is not None and found.exhausted_at is not None:
        assert NOW <= found.exhausted_at < END


@given(pasts(SIGNED), SIGNED, st.integers(1, 10**9))
def test_of_everything_so_many_times_is_so_many_times_the_forecast(
    past: list[Decimal], used: Decimal, factor: int
) -> None:
    one, many = of(past, used, "500"), of([each * factor for each in past], used * factor, Decimal(500) * factor)
    if one is None or many is None:
        assert one is many
        return
    assert many.method is one.method
    assert many.exhausted_at == one.exhausted_at
    for of_one, of_many in ((one.used, many.used), (one.low, many.low), (one.high, many.high)):
        assert (of_one is None) == (of_many is None)
        if of_one is not None and of_many is not None:
            assert abs(of_many - of_one * factor) <= _half_a_place(of_one) * factor + _half_a_place(of_many)


def _half_a_place(rounded: Decimal) -> Decimal:
    """What a forecast may be off for its rounding: it has as many places as the amounts, and twice 0.05 is 0.1."""
    return Decimal(5).scaleb(min(int(rounded.as_tuple().exponent), 0) - 1)


@given(pasts(SIGNED), st.integers(0, 3 * WEEK))
def test_silence_before_the_first_usage_says_nothing(past: list[Decimal], silent: int) -> None:
    assert of(steady(silent, "0") + past, "7") == of(past, "7")


@given(pasts(), QUANTITIES, st.integers(0, 59), st.integers(0, 59))
def test_with_the_same_used_less_time_brings_no_more(past: list[Decimal], used: Decimal, some: int, more: int) -> None:
    earlier, later = sorted((some, more))
    first, second = (of(past, used, now=NOW + timedelta(minutes=minute)) for minute in (earlier, later))
    if first is not None and second is not None:
        assert second.used <= first.used


@pytest.mark.parametrize("past", [[], steady(24), [*steady(500, "0"), *steady(24)]], ids=["none", "day", "new"])
def test_without_a_day_of_a_past_there_is_no_forecast(past: list[Decimal]) -> None:
    assert of(past, "5", "10") is None
    assert (of([*past, Decimal(0)], "5", "10") is None) == (not past), "one more hour is enough"
    assert of(steady(HISTORY_HOURS, "0"), "5", "10") is None, "silence is no past"


def test_a_steady_past_goes_on() -> None:
    left = (END - NOW) // HOUR
    assert of(steady(25), "100") == Forecast(Decimal(100 + left), None, None, None, Method.RUN_RATE)
    halfway = of(steady(25, "0.02"), "1", now=NOW + HOUR / 2)
    assert halfway is not None
    assert halfway.used == 1 + Decimal("0.02") * left - Decimal("0.01"), "half of this hour is over"
    used = Decimal(100 + left)
    assert of(steady(HISTORY_HOURS), "100") == Forecast(used, used, used, None, Method.PROFILE)


def test_methods_and_intervals_come_with_the_past() -> None:
    for hours, method, has_interval in (
        (14 * DAY, Method.RUN_RATE, False),
        (14 * DAY + 1, Method.PROFILE, False),
        (30 * DAY, Method.PROFILE, False),
        (30 * DAY + 1, Method.PROFILE, True),
    ):
        found = of(steady(hours))
        assert found is not None
        assert (found.method, found.low is not None) == (method, has_interval), hours


def test_a_profile_knows_the_weekend() -> None:
    hours = [NOW - back * HOUR for back in range(6 * WEEK, 0, -1)]
    busy = [Decimal(10 if hour.weekday() < 5 and 8 <= hour.hour < 18 else 0) for hour in hours]
    friday = NOW.replace(day=20)
    found = of(busy, end=friday)
    assert found is not None
    # From Sunday noon to Friday noon: four working days and four hours of Friday.
    assert (found.used, found.low, found.high) == (Decimal(440), Decimal(440), Decimal(440))


def test_later_weeks_weigh_more() -> None:
    growing = [Decimal(1 + hour // WEEK) for hour in range(8 * WEEK + 1)]
    found = of(growing, end=NOW + HOUR * WEEK)
    assert found is not None
    assert Decimal(5) < found.used / WEEK < Decimal(8)
    fallen = of([Decimal(1)] * (7 * WEEK) + [Decimal(0)] * (WEEK + 1), end=NOW + HOUR * WEEK)
    assert fallen is not None
    assert Decimal("0.5") < fallen.used / WEEK < Decimal(1)


def test_errors_that_were_widen_the_interval() -> None:
    alternating = [Decimal(2 if hour // DAY % 3 else 5) for hour in range(HISTORY_HOURS)]
    found = of(alternating, "10")
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert Decimal(10) <= found.low < found.used < found.high
    assert found.high - found.used == found.used - found.low


def test_no_error_takes_back_what_is_used_where_nothing_ever_did() -> None:
    weeks = [Decimal(0 if hour // WEEK % 2 else 10) for hour in range(HISTORY_HOURS)]
    found = of(weeks, "10")
    assert found is not None
    assert found.low == 10 < found.used
    refunded = of([*weeks[:-1], Decimal(-1)], "10")
    assert refunded is not None
    assert refunded.low is not None
    assert refunded.low < 0


def test_one_event_and_one_burst_do_not_go_on() -> None:
    once = [*steady(100, "0"), Decimal(50), *steady(200, "0")]
    assert of(once, "50", "60") == Forecast(Decimal(50), None, None, None, Method.RUN_RATE)
    burst = [*steady(4 * WEEK), Decimal(1_000), *steady(4 * WEEK - 1)]
    found = of(burst, "0", end=NOW + HOUR * WEEK)
    assert found is not None
    assert Decimal(WEEK) < found.used < Decimal(WEEK + 250)


def test_refunds_may_make_it_less() -> None:
    found = of([Decimal(1), *steady(HISTORY_HOURS - 1, "-0.5")], "1000")
    assert found is not None
    assert found.used == 1000 - Decimal("0.5") * ((END - NOW) // HOUR) == found.low == found.high


def test_when_the_limit_is_reached() -> None:
    past = steady(25)
    left = (END - NOW) // HOUR
    for used, limit, expected in (
        ("10", None, None),
        ("10", "10", NOW),
        ("11", "10", NOW),
        ("0", "0", NOW),
        ("10", "12.5", NOW + 2.5 * HOUR),
        ("10", "10.00001", NOW + timedelta(seconds=1)),
        ("0", str(left - 1), END - HOUR),
        ("0", str(left), None),
        ("0", str(left + 1), None),
    ):
        found = of(past, used, limit)
        assert found is not None
        assert found.exhausted_at == expected, (used, limit)


def test_when_a_limit_is_reached_that_a_period_of_years_has() -> None:
    """By whole cycles: not hour by hour."""
    past = [Decimal(hour % DAY) for hour in range(26)]
    end = NOW + timedelta(days=300_000)
    found = of(past, "0", str(276 * 200_000 + 100), end=end)
    assert found is not None
    assert found.exhausted_at is not None
    assert NOW + timedelta(days=200_000) < found.exhausted_at < NOW + timedelta(days=200_001)


def test_first_reached_where_it_rises_and_falls() -> None:
    """Each day 24 are used within an hour, and 20 given back six hours later: by 4 more a day, and by 24 in between."""
    day = [Decimal(24), *steady(5, "0"), Decimal(-20), *steady(17, "0")]
    found = of(day * 5 + day[:7], "0", "30", end=NOW + timedelta(days=3))
    assert found is not None
    assert found.used == 12
    # 22 of the 24 of the third day, which begin 17 hours after noon.
    assert found.exhausted_at == NOW + timedelta(days=2, hours=17, minutes=55)


@given(st.sampled_from(["Europe/Zurich", "America/New_York", "Pacific/Chatham"]), st.integers(1, 27))
def test_a_clock_that_is_changed_moves_no_total(zone: str, day: int) -> None:
    """Ten an hour in local working hours, across a change of the clock, in spring."""
    tz, now = ZoneInfo(zone), datetime(2026, 3, day, tzinfo=UTC)
    hours = [(now - back * HOUR).astimezone(tz) for back in range(HISTORY_HOURS, 0, -1)]
    end = now + timedelta(days=28)
    to_come = [(now + each * HOUR).astimezone(tz) for each in range(28 * DAY)]
    found = of([Decimal(10 if 8 <= hour.hour < 18 else 0) for hour in hours], now=now, end=end)
    assert found is not None
    truth = sum(10 for hour in to_come if 8 <= hour.hour < 18)
    assert abs(found.used - truth) <= 20


def test_it_has_the_decimals_of_the_meter() -> None:
    thirds = [Decimal(1), *[Decimal(each) for each in (1, 0, 0)] * 30]
    for factor, decimals in (("1", 0), ("0.25", -2), ("0." + "0" * 27 + "1", -28), ("1" + "0" * 30, 0)):
        found = of([each * Decimal(factor) for each in thirds], "0", end=NOW + timedelta(minutes=40))
        assert found is not None
        assert found.used.as_tuple().exponent == decimals

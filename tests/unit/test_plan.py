from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.meter import Aggregation, Meter
from meterhouse.domain.period import ALL_TIME, MONTHLY, THIRTY_DAYS, Interval, Period
from meterhouse.domain.plan import Addon, Flex, Plan, Subscription, flex_capacity, limit_of, usage_period

ANCHOR = datetime(2026, 1, 31, tzinfo=UTC)
JANUARY = Period(ANCHOR, datetime(2026, 2, 28, tzinfo=UTC))
CREDITS = Meter("credits", "credit.used", Aggregation.SUM, values=("amount",))
PRO = Plan("Pro", {"credits": Decimal(1000)})

amounts = st.decimals(0, 10**38 - 1, places=0) | st.decimals(0, 10**10 - 1, places=28)


def subscription(
    plan: str | None = "Pro", limits: dict[str, Decimal] | None = None, addons: dict[str, Addon] | None = None
) -> Subscription:
    return Subscription(plan, ANCHOR, MONTHLY, limits or {}, addons or {})


def test_without_a_subscription_every_limit_is_zero_and_nothing_resets() -> None:
    assert limit_of(None, None, CREDITS, ALL_TIME) == 0
    assert usage_period(None, ANCHOR) == ALL_TIME


def test_the_plan_limits_what_it_names() -> None:
    assert limit_of(subscription(), PRO, CREDITS, JANUARY) == 1000
    assert limit_of(subscription(), PRO, Meter("calls", "call", Aggregation.COUNT), JANUARY) is None


def test_overrides_stand_in_for_the_plans_limit() -> None:
    assert limit_of(subscription(limits={"credits": Decimal(5)}), PRO, CREDITS, JANUARY) == 5
    assert limit_of(subscription(limits={"credits": Decimal(0)}), PRO, CREDITS, JANUARY) == 0
    assert limit_of(subscription(limits={"credits": Decimal(5)}), Plan("Open"), CREDITS, JANUARY) == 5


def test_without_a_plan_only_overrides_and_addons_count() -> None:
    assert limit_of(subscription(None), None, CREDITS, JANUARY) == 0
    assert limit_of(subscription(None, {"credits": Decimal(5)}), None, CREDITS, JANUARY) == 5
    surviving = {"credits": Addon(recurring=Decimal(3))}
    assert limit_of(subscription(None, addons=surviving), None, CREDITS, JANUARY) == 3


def test_addons_do_not_limit_what_is_not_limited() -> None:
    addons = {"credits": Addon(recurring=Decimal(3))}
    assert limit_of(subscription(addons=addons), Plan("Open"), CREDITS, JANUARY) is None


@pytest.mark.parametrize(
    ("granted_at", "limit"),
    [
        (JANUARY.start, 1107),
        (datetime(2026, 2, 27, 23, 59, 59, 999_999, tzinfo=UTC), 1107),
        (JANUARY.end, 1007),
        (ANCHOR - timedelta(microseconds=1), 1007),
        (None, 1007),
    ],
)
def test_a_one_time_addon_counts_in_the_period_it_was_made_in(granted_at: datetime | None, limit: int) -> None:
    addon = Addon(one_time=Decimal(100), recurring=Decimal(7), granted_at=granted_at)
    assert limit_of(subscription(addons={"credits": addon}), PRO, CREDITS, JANUARY) == limit


@given(amounts, amounts, amounts)
def test_limits_are_exact(base: Decimal, recurring: Decimal, one_time: Decimal) -> None:
    addon = Addon(one_time, recurring, ANCHOR)
    limit = limit_of(subscription(None, {"credits": base}, {"credits": addon}), None, CREDITS, JANUARY)
    assert limit is not None
    assert Fraction(limit) == Fraction(base) + Fraction(recurring) + Fraction(one_time)


@pytest.mark.parametrize(
    ("interval", "period"),
    [
        (MONTHLY, Period(datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC))),
        (THIRTY_DAYS, Period(datetime(2026, 3, 2, tzinfo=UTC), datetime(2026, 4, 1, tzinfo=UTC))),
        (None, Period(ANCHOR, None)),
    ],
)
def test_the_usage_period_runs_from_the_anchor(interval: Interval | None, period: Period) -> None:
    assert usage_period(Subscription("Pro", ANCHOR, interval), datetime(2026, 3, 15, tzinfo=UTC)) == period


@pytest.mark.parametrize(
    ("budget", "price", "units"),
    [
        ("1000", "5", "200"),
        ("1000", "3", "333"),
        ("2", "3", "0"),
        ("0", "1", "0"),
        ("1", "0.3", "3"),
        ("1000", "0", "0"),
        ("9" * 38, "1", "9" * 38),
        ("1e37", "1e-28", "1e65"),
        ("1e37", "3e-28", "3" * 65),
    ],
)
def test_flex_buys_whole_units(budget: str, price: str, units: str) -> None:
    assert flex_capacity(Flex(enabled=True, budget_cents=Decimal(budget), unit_price_cents=Decimal(price))) == Decimal(
        units
    )


@given(amounts, amounts)
def test_flex_capacity_is_the_floor_of_the_quotient(budget: Decimal, price: Decimal) -> None:
    expected = Fraction(budget) // Fraction(price) if price else 0
    assert Fraction(flex_capacity(Flex(enabled=True, budget_cents=budget, unit_price_cents=price))) == expected

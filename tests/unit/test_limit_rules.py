"""Limits as catalogs say them, the windows that they are of, and what they decide."""

from __future__ import annotations

import tomllib
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.domain.catalog import Catalog, CatalogError
from meterhouse.domain.catalog_parser import parse_catalog
from meterhouse.domain.decision import LimitState, decide, window_at
from meterhouse.domain.limit_rule import LimitMode, LimitRule, LimitWindow
from meterhouse.domain.period import MONTHLY, Period
from meterhouse.domain.plan import Subscription
from meterhouse.domain.quantity import ZERO, add

METERS = """
namespace = "shop"
[[meters]]
slug = "tokens"
event_type = "call"
aggregation = "SUM"
value = "tokens"
group_by = ["team"]
[[meters]]
slug = "seats"
event_type = "seat"
aggregation = "UNIQUE_COUNT"
value = "seat"
[pools.credits]
rates = { tokens = "0.001" }
[[plans]]
slug = "plan"
[plans.limits]
"""
NOON = datetime(2026, 3, 15, 12, 30, tzinfo=UTC)


def catalog(limits: str) -> Catalog:
    return parse_catalog(tomllib.loads(METERS + limits, parse_float=Decimal), "shop.toml")


def test_a_limit_is_a_number_a_table_or_a_list() -> None:
    plan = catalog('tokens = [7, { amount = 3, per = "team", mode = "soft" }, { amount = 2, window = "day" }]').plans[
        "plan"
    ]
    assert plan.limits == {"tokens": 7}
    assert plan.rules_of("tokens") == (
        LimitRule("tokens"),
        LimitRule("tokens", Decimal(3), "team", LimitWindow.PERIOD, LimitMode.SOFT),
        LimitRule("tokens", Decimal(2), None, LimitWindow.DAY, LimitMode.HARD),
    )
    assert catalog("tokens = 7").plans["plan"].rules == ()
    shadow = catalog('tokens = { amount = 7, mode = "shadow" }').plans["plan"]
    assert shadow.limits == {"tokens": 7}
    assert shadow.rules_of("tokens") == (LimitRule("tokens", mode=LimitMode.SHADOW),)


@pytest.mark.parametrize(
    ("limits", "expected"),
    [
        ("tokens = [1, 2]", "two limits of the same property and window"),
        ('tokens = { amount = 1, per = "region" }', "not in the meter's group_by"),
        ('tokens = { amount = 1, per = "" , window = "week" }', "window is 'week'"),
        ('tokens = { amount = 1, mode = "firm" }', "mode is 'firm'"),
        ("tokens = { amount = -1 }", "must not be negative"),
        ('tokens = { per = "team" }', "must be a number"),
        ('tokens = { amount = 1, by = "team" }', "has the key 'by'"),
        ('seats = { amount = 1, window = "day" }', "only COUNT and SUM"),
        ("unknown = 1", "unknown meter 'unknown'; this catalog has credits, seats, tokens"),
        ('credits = { amount = 1, per = "team" }', "per belongs to limits of meters"),
        ("credits = -1", "must not be negative"),
        ("credits = [1, { amount = 2 }]", "two limits"),
    ],
)
def test_limits_that_are_none(limits: str, expected: str) -> None:
    with pytest.raises(CatalogError, match=expected):
        catalog(limits)


def test_a_pool_can_be_limited_as_a_meter_can() -> None:
    plan = catalog('credits = [7, { amount = 2, window = "day", mode = "soft" }]').plans["plan"]
    assert plan.limits == {"credits": 7}
    assert plan.rules_of("credits") == (
        LimitRule("credits"),
        LimitRule("credits", Decimal(2), None, LimitWindow.DAY, LimitMode.SOFT),
    )


def test_windows() -> None:
    monthly = Subscription(None, datetime(2026, 1, 31, tzinfo=UTC), MONTHLY)
    assert window_at(LimitWindow.PERIOD, monthly, NOON) == Period(
        datetime(2026, 2, 28, tzinfo=UTC), datetime(2026, 3, 31, tzinfo=UTC)
    )
    assert window_at(LimitWindow.DAY, monthly, NOON) == Period(
        datetime(2026, 3, 15, tzinfo=UTC), datetime(2026, 3, 16, tzinfo=UTC)
    )
    assert window_at(LimitWindow.HOUR, None, NOON) == Period(
        datetime(2026, 3, 15, 12, tzinfo=UTC), datetime(2026, 3, 15, 13, tzinfo=UTC)
    )


def state(mode: LimitMode, left: int) -> LimitState:
    rule = LimitRule("tokens", mode=mode)
    return LimitState(rule, "", Period(None, None), Decimal(10), Decimal(8 - left), Decimal(2))


@pytest.mark.parametrize(
    ("amount", "lefts", "outcome", "left"),
    [
        (3, {LimitMode.HARD: 3}, "granted", 3),
        (4, {LimitMode.HARD: 3}, "refused", 3),
        (4, {LimitMode.HARD: 5, LimitMode.SOFT: 3, LimitMode.SHADOW: 1}, "exceeded", 5),
        (4, {LimitMode.HARD: 5, LimitMode.SHADOW: 1}, "shadow", 5),
        (1, {LimitMode.HARD: -2}, "refused", 0),
        (0, {LimitMode.HARD: -2}, "granted", 0),
        (-1, {LimitMode.HARD: -2}, "granted", 0),
        (100, {}, "granted", None),
    ],
)
def test_decisions(amount: int, lefts: dict[LimitMode, int], outcome: str, left: int | None) -> None:
    decision = decide(Decimal(amount), [state(mode, room) for mode, room in lefts.items()])
    assert (decision.outcome, decision.left) == (outcome, left)
    assert (decision.refused_by is None) == (outcome != "refused")


amounts = st.decimals(min_value=0, max_value=10**12, places=6)


@given(amounts, st.decimals(min_value="1e-10", max_value=10**6, places=10))
def test_what_is_said_to_fit_at_a_rate_does_and_nothing_more(limit: Decimal, rate: Decimal) -> None:
    state = LimitState(LimitRule("credits"), "", Period(None, None), limit, Decimal(0), Decimal(0), rate)
    fits = decide(ZERO, [state]).left
    assert fits is not None
    assert decide(fits, [state]).refused_by is None
    assert decide(add((fits, Decimal("1e-28"))), [state]).refused_by is state

"""Costs, against an oracle that goes half a unit after the other."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from meterhouse.domain.cost import (
    Amounts,
    CostCell,
    CostPlan,
    add_amounts,
    amounts_of,
    cost_cells,
    missing_minimums,
    plan_costs,
    unpriced,
    usage_periods,
)
from meterhouse.domain.errors import Invalid
from meterhouse.domain.meter import Aggregation, Meter
from meterhouse.domain.period import ALL_TIME, Interval, Period, format_instant
from meterhouse.domain.plan import Subscription
from meterhouse.domain.rate_card import RateCards
from meterhouse.domain.rate_card_parser import parse_rate_cards
from support.depth import by_depth
from support.rate_cards import cards, prices
from support.slow_burn_down import boundaries
from support.slow_costs import Event, SlowCard, SlowCosts, bill

NAMES, TEXTS = ("model", "region"), ("", "a", "b")
TOKENS = Meter("tokens", "call", Aggregation.SUM, values=("tokens",), group_by=NAMES)
FIRST, LAST = date(2026, 1, 1), date(2026, 4, 1)
HISTORIES = by_depth(100, 1_500, 15_000)

some_days = st.integers(0, (LAST - FIRST).days - 1).map(lambda number: FIRST + timedelta(days=number))
busy_days = st.integers(0, 9).map(lambda number: FIRST + timedelta(days=9 * number))
"""Few, so that one has several groups that share a price."""
events_of = st.lists(
    st.tuples(busy_days, st.fixed_dictionaries({name: st.sampled_from(TEXTS) for name in NAMES}), st.integers(-4, 20)),
    max_size=25,
)
intervals = st.sampled_from([Interval(0, 5), Interval(0, 30), Interval(1, 0)])


@st.composite
def timelines(draw: st.DrawFn) -> list[SlowCard]:
    since = sorted(draw(st.sets(some_days, min_size=1, max_size=3)))
    return [SlowCard(day, draw(cards(NAMES, TEXTS))) for day in since]


@st.composite
def subscriptions(draw: st.DrawFn) -> Subscription | None:
    interval = draw(st.one_of(st.none(), intervals))
    return draw(st.one_of(st.none(), st.just(Subscription(None, midnight(draw(some_days)), interval))))


def midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def parsed(timeline: Sequence[SlowCard]) -> RateCards:
    tables = [{**each.written, "effective_at": format_instant(midnight(each.since))} for each in timeline]
    return parse_rate_cards(tables, {"tokens": TOKENS})["tokens"]


def read(plan: CostPlan, events: Sequence[Event]) -> Mapping[tuple[int, tuple[str, ...]], Decimal]:
    """What the engine reads for a plan."""
    found: defaultdict[tuple[int, tuple[str, ...]], Decimal] = defaultdict(Decimal)
    for day, texts, halves in events:
        for number, (start, end) in enumerate(pairwise(plan.edges)):
            if Period(start, end).contains(midnight(day)):
                found[number, tuple(texts[name] for name in plan.names)] += Decimal(halves) / 2
    return found


def priced(
    timeline: Sequence[SlowCard],
    subscription: Subscription | None,
    events: Sequence[Event],
    edges: Sequence[datetime | None],
    names: Sequence[str] = (),
) -> tuple[CostPlan, list[CostCell]]:
    plan = plan_costs(parsed(timeline), subscription, edges, names)
    return plan, [*cost_cells(plan, read(plan, events))]


def told(amounts: Amounts) -> dict[str, Fraction]:
    """Without what is nothing."""
    return {currency: Fraction(amount) for currency, amount in amounts.items() if amount}


def slow(
    timeline: Sequence[SlowCard], anchor: date, interval: Interval, events: Sequence[Event], names: Sequence[str]
) -> SlowCosts:
    oracle = SlowCosts(timeline, boundaries(anchor, interval))
    oracle.run(events, names, FIRST, LAST)
    return oracle


class TestPrices:
    @settings(max_examples=HISTORIES)
    @given(written=prices(), halves=st.integers(-5, 90))
    def test_cost_what_an_oracle_counts_half_by_half(self, written: dict[str, Any], halves: int) -> None:
        [card] = parse_rate_cards([{"meter": "tokens", "currency": "USD", **written}], {"tokens": TOKENS})["tokens"]
        assert card.price is not None
        assert Fraction(card.price.cost_of(Decimal(halves) / 2)) == bill(written, halves)


class TestCells:
    @settings(max_examples=HISTORIES)
    @given(
        timeline=timelines(),
        anchor=some_days,
        interval=intervals,
        events=events_of,
        span=st.lists(some_days, min_size=2, max_size=2, unique=True).map(sorted),
    )
    def test_are_what_the_oracle_finds_day_by_day(
        self, timeline: list[SlowCard], anchor: date, interval: Interval, events: list[Event], span: list[date]
    ) -> None:
        edges = [midnight(span[0] + timedelta(days=number)) for number in range((span[1] - span[0]).days + 1)]
        subscription = Subscription(None, midnight(anchor), interval)
        plan, cells = priced(timeline, subscription, events, edges, NAMES)
        oracle = slow(timeline, anchor, interval, events, plan.names)
        found = {
            (span[0] + timedelta(days=cell.place), cell.texts): (cell.currency, Fraction(cell.amount))
            for cell in cells
            if cell.currency is not None
        }
        assert found == {key: cost for key, cost in oracle.cells.items() if span[0] <= key[0] < span[1]}
        used = sum(Decimal(halves) / 2 for day, _, halves in events if span[0] <= day < span[1])
        with_price = sum((cell.used for cell in cells if cell.currency is not None), Decimal(0))
        assert unpriced(cells) == used - with_price

    @settings(max_examples=HISTORIES)
    @given(timeline=timelines(), anchor=some_days, interval=intervals, events=events_of)
    def test_and_the_minimum_of_each_whole_period(
        self, timeline: list[SlowCard], anchor: date, interval: Interval, events: list[Event]
    ) -> None:
        subscription = Subscription(None, midnight(anchor), interval)
        span, moment = Period(midnight(FIRST), midnight(LAST)), midnight(LAST)
        plan, cells = priced(timeline, subscription, events, (span.start, span.end))
        oracle = slow(timeline, anchor, interval, events, plan.names)
        begins = sorted(day for day in boundaries(anchor, interval) if FIRST <= day <= LAST)
        expected: defaultdict[str, Fraction] = defaultdict(Fraction)
        for first, last in pairwise(begins):
            in_force = [each for each in timeline if each.since < last]
            if in_force and (minimum := Fraction(in_force[-1].written.get("minimum", "0"))):
                currency = str(in_force[-1].written["currency"])
                had = oracle.total(first, last).get(currency, Fraction(0))
                expected[currency] += max(Fraction(0), minimum - had)
        assert told(missing_minimums(plan, cells, span, moment)) == {
            each: cost for each, cost in expected.items() if cost
        }


def test_costs_are_exact_at_every_size() -> None:
    price = "0." + "0" * 27 + "1"
    most = Decimal("9" * 38)
    [card] = parse_rate_cards([{"meter": "tokens", "currency": "USD", "price": price}], {"tokens": TOKENS})["tokens"]
    assert card.price is not None
    tenth = Decimal("0." + "0" * 27 + "7")
    assert format(card.price.cost_of(most), "f") == "9" * 10 + "." + "9" * 28
    assert format(card.price.cost_of(tenth), "f") == "0." + "0" * 55 + "7"


@settings(max_examples=HISTORIES)
@given(
    timeline=timelines(),
    subscription=subscriptions(),
    events=events_of,
    marks=st.sets(some_days, max_size=6),
    names=st.lists(st.sampled_from(NAMES), unique=True),
)
def test_the_costs_of_any_division_add_up_to_the_same_whole(
    timeline: list[SlowCard],
    subscription: Subscription | None,
    events: list[Event],
    marks: set[date],
    names: list[str],
) -> None:
    ends = [midnight(FIRST), midnight(LAST)]
    _, whole = priced(timeline, subscription, events, ends)
    edges = sorted({*ends, *(midnight(mark) for mark in marks)})
    _, divided = priced(timeline, subscription, events, edges, names)
    assert told(amounts_of(divided)) == told(amounts_of(whole))
    for place, (start, end) in enumerate(pairwise(edges)):
        _, alone = priced(timeline, subscription, events, (start, end))
        of_place = amounts_of(cell for cell in divided if cell.place == place)
        assert told(of_place) == told(amounts_of(alone))


def test_a_new_card_finds_the_tiers_as_far_as_the_period_has_reached_them() -> None:
    tiers = {"meter": "tokens", "currency": "USD", "type": "graduated", "included": "1"}
    before = SlowCard(FIRST, {**tiers, "tiers": [{"up_to": "3", "price": "1"}, {"price": "0.5"}]})
    after = SlowCard(date(2026, 1, 15), {**tiers, "tiers": [{"up_to": "3", "price": "10"}, {"price": "5"}]})
    subscription = Subscription(None, midnight(FIRST), Interval(1, 0))
    events = [(day, {"model": "", "region": ""}, 4) for day in (date(2026, 1, 10), date(2026, 1, 20))]
    edges = [midnight(FIRST), midnight(date(2026, 1, 15)), midnight(date(2026, 2, 1))]
    _, cells = priced([before, after], subscription, events, edges)
    # Two units at first: one is included, one costs 1. Of the two others the tier has room for both: 20.
    assert [cell.amount for cell in cells] == [Decimal(1), Decimal(20)]


def test_different_currencies_are_not_added_up() -> None:
    assert add_amounts([{"USD": Decimal(1)}, {"EUR": Decimal(2)}, {"USD": Decimal(3)}]) == {
        "EUR": Decimal(2),
        "USD": Decimal(4),
    }


class TestUsagePeriods:
    JANUARY, MARCH = midnight(FIRST), midnight(date(2026, 3, 1))

    def test_without_a_subscription_there_is_one(self) -> None:
        assert usage_periods(None, Period(self.JANUARY, self.MARCH)) == (ALL_TIME,)
        assert usage_periods(None, ALL_TIME) == (ALL_TIME,)

    def test_what_is_before_the_only_one_is_one_of_its_own(self) -> None:
        single = Subscription(None, self.MARCH, None)
        around = Period(self.JANUARY, midnight(LAST))
        assert usage_periods(single, around) == (Period(None, self.MARCH), Period(self.MARCH, None))
        assert usage_periods(single, Period(self.MARCH, None)) == (Period(self.MARCH, None),)

    def test_begin_with_the_one_in_which_the_span_begins(self) -> None:
        monthly = Subscription(None, datetime(2025, 1, 31, tzinfo=UTC), Interval(1, 0))
        found = usage_periods(monthly, Period(self.JANUARY, self.MARCH))
        assert [each.start.date() for each in found if each.start] == [
            date(2025, 12, 31),
            date(2026, 1, 31),
            date(2026, 2, 28),
        ]
        assert found[-1].end == datetime(2026, 3, 31, tzinfo=UTC)

    def test_are_not_too_many(self) -> None:
        daily = Subscription(None, self.JANUARY, Interval(0, 1))
        with pytest.raises(Invalid, match="10,000 usage periods"):
            usage_periods(daily, Period(datetime(1990, 1, 1, tzinfo=UTC), self.MARCH))

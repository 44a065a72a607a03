"""The reckoning of entitlements against a slow one, that goes from day to day."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meterhouse.contracts.openmeter.burn_down import Allotment, Reset, Stretch, burn_down, cuts
from meterhouse.domain.period import Interval

START = datetime(2026, 1, 1, tzinfo=UTC)
DAYS = 40


def day(number: int) -> datetime:
    return START + timedelta(days=number)


amounts = st.integers(0, 20).map(Decimal)
allotments = st.builds(
    Allotment,
    id=st.just(""),
    amount=st.integers(1, 20).map(Decimal),
    priority=st.integers(0, 2),
    effective_at=st.integers(0, DAYS).map(day),
    created_at=st.integers(0, DAYS).map(day),
    expires_at=st.none() | st.integers(1, DAYS).map(day),
    voided_at=st.none() | st.integers(1, DAYS).map(day),
    least_rollover=amounts,
    most_rollover=amounts,
    interval=st.none() | st.integers(1, 15).map(lambda days: Interval(0, days)),
    anchor=st.none() | st.integers(0, 10).map(day),
)


def slow(grants: list[Allotment], resets: list[Reset], used: list[Decimal]) -> list[tuple[Decimal, ...]]:
    """Balance, usage, overage and all that was granted, at the end of each day."""
    left: dict[str, Decimal] = {}
    overage = usage = covered = Decimal(0)
    told = []
    for number, amount in enumerate(used):
        at = day(number)
        starts = [reset for reset in resets if reset.at == at]
        for each in grants:
            over = (each.expires_at is not None and each.expires_at <= at) or (
                each.voided_at is not None and each.voided_at <= at
            )
            if over:
                left.pop(each.id, None)
                continue
            if at < each.effective_at:
                continue
            anchor = each.anchor or each.effective_at
            recurs = each.interval is not None and (at - anchor).days % each.interval.days == 0
            if each.id not in left or recurs:
                left[each.id] = each.amount
            elif starts:
                left[each.id] = min(each.most_rollover, max(left[each.id], each.least_rollover))
        far = datetime(2300, 1, 1, tzinfo=UTC)

        def order(each: Allotment, far: datetime = far) -> tuple[object, ...]:
            return each.priority, min(each.expires_at or far, each.voided_at or far), each.created_at, each.id

        ordered = [each.id for each in sorted(grants, key=order) if each.id in left]
        if starts:
            owed = overage if starts[0].keeps_overage else Decimal(0)
            usage = covered = Decimal(0)
            for name in ordered:
                taken = min(owed, left[name])
                left[name] -= taken
                owed -= taken
            overage = owed
        for _ in range(int(amount)):
            usage += 1
            name = next((each for each in ordered if left[each] > 0), None)
            if name is None:
                overage += 1
            else:
                left[name] -= 1
                covered += 1
        balance = sum(left.values(), Decimal(0))
        told.append((balance, usage, overage, balance + covered))
    return told


@given(
    st.lists(allotments, max_size=5),
    st.lists(st.tuples(st.integers(1, DAYS - 1), st.booleans()), max_size=4, unique_by=lambda each: each[0]),
    st.lists(amounts, min_size=DAYS, max_size=DAYS),
)
def test_it_is_what_going_from_day_to_day_comes_to(
    some: list[Allotment], at: list[tuple[int, bool]], used: list[Decimal]
) -> None:
    grants = [replace(each, id=f"g{number}") for number, each in enumerate(some)]
    resets = [Reset(START), *(Reset(day(number), keeps) for number, keeps in sorted(at))]
    edges = cuts(grants, resets, START, day(DAYS))
    amounts_of = [sum(used[(start - START).days : (end - START).days], Decimal(0)) for start, end in pairwise(edges)]
    expected = slow(grants, resets, used)
    for stretch in burn_down(grants, resets, edges, amounts_of):
        assert figures(stretch) == expected[(stretch.end - START).days - 1]


def figures(stretch: Stretch) -> tuple[Decimal, ...]:
    after = stretch.after
    return after.balance, after.usage, after.overage, after.total_granted


def test_usage_that_is_taken_back_gives_back_what_it_burned() -> None:
    grants = [Allotment("a", Decimal(5), 0, START, START), Allotment("b", Decimal(5), 1, START, START)]
    edges = [START, day(1), day(2), day(3)]
    stretches = burn_down(grants, [Reset(START)], edges, [Decimal(12), Decimal(-3), Decimal(-20)])
    assert [figures(each) for each in stretches] == [
        (0, 12, 2, 10),
        (1, 9, 0, 10),
        (10, -11, 0, 10),
    ]
    assert stretches[1].after.balances == {"a": 0, "b": 1}


def test_too_many_changes_are_refused() -> None:
    grant = Allotment("a", Decimal(5), 0, START, START, interval=Interval(0, 1))
    with pytest.raises(Exception, match="changes more than"):
        cuts([grant], [Reset(START)], START, START + timedelta(days=30_000))

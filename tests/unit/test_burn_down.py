"""Balances, against an oracle that goes half a unit after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from meterhouse.domain.balance import Balance
from meterhouse.domain.burn_down import balance, history
from meterhouse.domain.errors import Invalid
from meterhouse.domain.grant import Grant, Recurrence, Rollover, addon_grants
from meterhouse.domain.meter import Aggregation, Meter
from meterhouse.domain.period import MONTHLY, Interval, Period
from meterhouse.domain.plan import Addon, Plan, Subscription, allowance_of, limit_of
from meterhouse.domain.sources import MOST_SPANS, Sources, balance_edges, history_edges
from support.depth import by_depth
from support.slow_burn_down import SlowBurnDown, halves

START = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)

CREDITS = Meter("credits", "credit.used", Aggregation.SUM, values=("amount",))
HISTORIES = by_depth(60, 1_500, 20_000)

Event = tuple[datetime, Decimal]

amounts = st.integers(1, 30).map(lambda number: Decimal(number) / 2)
some_days = st.integers(0, 80).map(lambda number: START + number * DAY)
intervals = st.sampled_from([Interval(0, 5), Interval(0, 7), Interval(0, 30), Interval(1, 0), Interval(2, 0)])


@dataclass(frozen=True)
class History:
    """Sources, and what was used of them."""

    sources: Sources
    events: tuple[Event, ...]

    def used(self, edges: Sequence[datetime | None]) -> list[Decimal]:
        """What was used between some edges."""
        return [
            sum((amount for at, amount in self.events if Period(start, end).contains(at)), Decimal(0))
            for start, end in pairwise(edges)
        ]

    def balance(self, at: datetime) -> Balance:
        """At an instant."""
        edges = balance_edges(self.sources, at)
        return balance(self.sources, edges, self.used(edges))


@st.composite
def grants(draw: st.DrawFn, number: int) -> Grant:
    amount, effective_at = draw(amounts), draw(some_days)
    recurrence = draw(st.none() | st.builds(Recurrence, intervals, some_days))
    rollover = None
    if recurrence is not None and draw(st.booleans()):
        most = draw(st.integers(0, halves(amount)))
        rollover = Rollover(Decimal(draw(st.integers(0, most))) / 2, Decimal(most) / 2)
    return Grant(
        id=f"grant-{number}",
        organization="acme",
        meter="credits",
        amount=amount,
        priority=draw(st.integers(0, 2)),
        effective_at=effective_at,
        created_at=START + draw(st.integers(0, 2)) * DAY,
        expires_at=draw(st.none() | st.integers(1, 60).map(lambda days: effective_at + days * DAY)),
        recurrence=recurrence,
        rollover=rollover,
        voided_at=draw(st.none() | st.none() | some_days),
    )


@st.composite
def histories(draw: st.DrawFn, *, least: int = 1) -> History:
    subscription = None
    allowance: Decimal | None = Decimal(0)
    if draw(st.booleans()):
        anchor = START + draw(st.integers(-40, 30)) * DAY
        subscription = Subscription("pro", anchor, draw(st.none() | intervals))
        allowance = draw(st.sampled_from([Decimal(0), Decimal(3), Decimal("7.5"), Decimal(20), None]))
    granted = tuple(draw(grants(number)) for number in range(draw(st.integers(0, 5))))
    moments = st.integers(-30 * 4, 85 * 4).map(lambda number: START + number * DAY / 4)
    sizes = st.integers(least, 20).map(lambda number: Decimal(number) / 2)
    events = draw(st.lists(st.tuples(moments, sizes), max_size=25))
    return History(Sources(subscription, allowance, granted), tuple(events))


def slow(history: History) -> SlowBurnDown:
    sources = history.sources
    allowance = None if sources.allowance is None else halves(sources.allowance)
    return SlowBurnDown(sources.subscription, allowance, sources.grants)


def slow_until(history: History, at: datetime, *, netting: bool) -> SlowBurnDown:
    """Up to the evening before the next change after an instant."""
    oracle = slow(history)
    last = at.date()
    while not oracle.changes_on(last + DAY) and last < at.date() + 100 * DAY:
        last += DAY
    oracle.run(history.events, last, netting=netting)
    return oracle


def told(found: Balance) -> dict[str, Any]:
    return {
        "left": None if found.left is None else halves(found.left),
        "limit": None if found.limit is None else halves(found.limit),
        "allowance_burned": halves(found.allowance_burned),
        "burned": halves(found.grants_burned),
        "overage": halves(found.overage),
        "parts": [
            (part.grant.id, halves(part.granted), halves(part.burned), halves(part.left)) for part in found.parts
        ],
    }


def told_slowly(oracle: SlowBurnDown) -> dict[str, Any]:
    lefts = sum(each.left for each in oracle.drawers)
    return {
        "left": None if oracle.unlimited else oracle.plan.left + lefts,
        "limit": None if oracle.unlimited else oracle.plan.granted + oracle.in_period["burned"] + lefts,
        "allowance_burned": oracle.in_period["allowance_burned"],
        "burned": oracle.in_period["burned"],
        "overage": oracle.in_period["overage"],
        "parts": [(each.grant.id, each.granted, each.burned, each.left) for each in oracle.ordered() if each.grant],
    }


moments = st.integers(0, 85 * 2).map(lambda number: START + number * DAY / 2)


@settings(max_examples=HISTORIES)
@given(histories(), moments)
def test_is_what_the_oracle_says_event_by_event(history: History, at: datetime) -> None:
    found = history.balance(at)
    assert told(found) == told_slowly(slow_until(history, at, netting=False))
    event(f"{len(found.parts)} grants in force")


@settings(max_examples=HISTORIES)
@given(histories(least=-20), moments)
def test_usage_that_is_taken_back_is_given_back_in_reverse(history: History, at: datetime) -> None:
    assert told(history.balance(at)) == told_slowly(slow_until(history, at, netting=True))


@settings(max_examples=HISTORIES)
@given(histories(), st.data())
def test_its_history_is_what_the_oracle_says(history_: History, data: st.DataObject) -> None:
    sources = history_.sources
    ends = [each.ends_at for each in sources.grants if each.ends_at and each.ends_at < START + 80 * DAY]
    starts = [start for day in range(40) if (start := sources.period_at(START + 2 * day * DAY).start)]
    chosen = st.sampled_from([*ends, *(start for start in starts if start >= START), START])
    marks = sorted({data.draw(chosen), *data.draw(st.lists(some_days, max_size=5)), START + 81 * DAY})
    edges = history_edges(history_.sources, marks)
    spans = history(history_.sources, edges, history_.used(edges))
    oracle = slow(history_)
    oracle.run(history_.events, marks[-1].date() - DAY, netting=False)
    assert [mark for mark in marks if mark not in edges] == []
    assert edges[-1] == marks[-1]
    for start, end in pairwise(marks):
        inside = [each for each in spans if each.span.start and start <= each.span.start < end]
        days = [oracle.days[(start + number * DAY).date()] for number in range((end - start) // DAY)]
        flows: Counter[str] = sum((day.flows for day in days), Counter())
        names = ("allowance_burned", "granted", "burned", "expired", "voided", "overage")
        assert {name: halves(sum(getattr(each, name) for each in inside)) for name in names} == {
            name: flows[name] for name in names
        }
        left = inside[-1].balance
        assert (None if left is None else halves(left)) == days[-1].left


@given(histories(least=-20), moments)
def test_nothing_is_negative_and_nothing_is_lost(history: History, at: datetime) -> None:
    found = history.balance(at)
    for part in (*found.parts, *found.ended):
        assert part.left >= 0
        assert part.burned >= 0
        assert part.left == part.granted - part.burned - part.expired - part.voided
    assert all(part.left == 0 for part in found.ended)
    assert found.overage >= 0
    assert found.left is None or found.left >= 0
    if found.left is not None and found.limit is not None:
        assert found.limit - found.allowance_burned - found.grants_burned == found.left


@given(histories(), moments, st.randoms())
def test_the_order_in_which_grants_are_told_does_not_matter(history: History, at: datetime, random: Any) -> None:
    shuffled = [*history.sources.grants]
    random.shuffle(shuffled)
    other = replace(history, sources=replace(history.sources, grants=tuple(shuffled)))
    assert told(other.balance(at)) == told(history.balance(at))


@given(histories(), moments, moments)
def test_what_is_known_later_changes_no_earlier_answer(history: History, known: datetime, at: datetime) -> None:
    """As of an instant, nothing that is made or voided later is there."""
    then = tuple(each for grant in history.sources.grants if (each := grant.known_at(known)) is not None)
    assert all(each.created_at <= known and (each.voided_at is None or each.voided_at <= known) for each in then)
    later = [
        replace(each, voided_at=known + DAY) if each.voided_at is None else each for each in history.sources.grants
    ]
    later.append(replace(GRANT, id="later", created_at=known + DAY))
    again = tuple(each for grant in later if (each := grant.known_at(known)) is not None)
    before, after = (
        replace(history, sources=replace(history.sources, grants=known_then)).balance(at)
        for known_then in (then, again)
    )
    assert told(before) == told(after)


@given(histories(), moments, amounts)
def test_more_usage_never_leaves_more_and_more_grants_never_less(history: History, at: datetime, more: Decimal) -> None:
    found = history.balance(at)
    used = replace(history, events=(*history.events, (at, more))).balance(at)
    granted = replace(
        history,
        sources=replace(history.sources, grants=(*history.sources.grants, replace(GRANT, effective_at=at))),
    ).balance(at)
    if found.left is not None:
        assert used.left is not None
        assert granted.left is not None
        assert used.left == max(Decimal(0), found.left - more)
        assert granted.left >= found.left


GRANT = Grant("bought", "acme", "credits", Decimal(10), 1, START, START)


@given(st.data(), moments)
def test_an_addon_is_a_grant(data: st.DataObject, at: datetime) -> None:
    """The limit and what is left of it are what they were when add-ons were a part of the limit."""
    addon = Addon(data.draw(amounts), data.draw(amounts), data.draw(st.none() | some_days))
    interval = data.draw(st.none() | intervals)
    anchor = START + (data.draw(st.integers(-40, 0)) if interval is None else data.draw(st.integers(-40, 30))) * DAY
    subscription = Subscription("pro", anchor, interval, addons={"credits": addon})
    plan = Plan("pro", {"credits": Decimal(7)})
    events = data.draw(histories()).events
    granted = tuple(addon_grants(subscription, "acme", "credits"))
    sources = Sources(subscription, allowance_of(subscription, plan, "credits"), granted)
    found = History(sources, events).balance(at)
    limit = limit_of(subscription, plan, CREDITS, found.period)
    [used] = History(sources, events).used([found.period.start, found.period.end])
    assert limit is not None
    assert found.limit == limit
    assert found.left == max(Decimal(0), limit - used)
    assert found.overage == max(Decimal(0), used - limit)


def test_what_ends_in_the_moment_in_which_a_history_begins_is_in_it() -> None:
    monthly = Subscription("pro", START, MONTHLY)
    february, march = datetime(2026, 2, 1, tzinfo=UTC), datetime(2026, 3, 1, tzinfo=UTC)
    sources = Sources(monthly, Decimal(0), (replace(GRANT, expires_at=february),))
    edges = history_edges(sources, [february, march])
    used = History(sources, ((START + DAY, Decimal(3)),)).used(edges)
    assert [each.expired for each in history(sources, edges, used) if each.span.start == february] == [Decimal(7)]


def test_the_number_of_spans_does_not_depend_on_usage_and_old_periods_do_not_matter() -> None:
    """What carries nothing over is computed from the usage period alone."""
    anew = replace(GRANT, recurrence=Recurrence(MONTHLY, START), effective_at=START - 600 * DAY)
    sources = Sources(Subscription("pro", START, MONTHLY), Decimal(5), (anew,))
    at = START + 400 * DAY
    assert len(balance_edges(sources, at)) == 2
    kept = replace(anew, rollover=Rollover(Decimal(0), Decimal(10)))
    assert len(balance_edges(replace(sources, grants=(kept,)), at)) > 20


def test_grants_that_change_too_often_are_refused_with_what_to_do() -> None:
    daily = Recurrence(Interval(0, 1), START)
    forever = replace(GRANT, recurrence=daily, rollover=Rollover(Decimal(0), Decimal(1)))
    sources = Sources(None, Decimal(0), (forever,))
    assert len(balance_edges(sources, START + (MOST_SPANS - 1) * DAY)) == MOST_SPANS + 2
    with pytest.raises(Invalid, match="void the grants that were made for good"):
        balance_edges(sources, START + MOST_SPANS * DAY)
    many = Sources(Subscription(None, START, Interval(0, 1)), Decimal(0), (GRANT,))
    with pytest.raises(Invalid, match="grant what is left of them anew"):
        balance_edges(many, START + (MOST_SPANS + 5) * DAY)

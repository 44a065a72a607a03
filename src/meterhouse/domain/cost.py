"""What usage costs: running totals of usage periods, priced by the cards in force."""

from __future__ import annotations

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TypeAlias

from .errors import Invalid
from .period import FIRST_INSTANT, LAST_INSTANT, Period
from .plan import Subscription, usage_period
from .quantity import ZERO, add, subtract
from .rate_card import RateCards, card_at, cards_in

Amounts: TypeAlias = Mapping[str, Decimal]
"""By currency. Amounts of different currencies are never added up."""
Texts: TypeAlias = tuple[str, ...]
MOST_PERIODS = 10_000
"""The most usage periods of one span."""
_INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class CostWindow:
    """A window in which one card is in force, and that lies in one usage period."""

    start: datetime | None
    period: int
    """Which usage period."""
    place: int | None
    """Which window of the answer it is a part of; None before the span, where usage counts towards tiers only."""


@dataclass(frozen=True, slots=True)
class CostPlan:
    """What has to be read to price a span: whole usage periods up to its end."""

    cards: RateCards
    periods: tuple[Period, ...]
    names: Texts
    """The properties that cells are read by: those of the cards, then those of the question."""
    edges: tuple[datetime | None, ...]
    windows: tuple[CostWindow, ...]


@dataclass(frozen=True, slots=True)
class CostCell:
    """What the usage of some texts in one window costs."""

    place: int
    period: int
    texts: Texts
    """Of the plan's names."""
    used: Decimal
    currency: str | None
    """None where no price was in force."""
    amount: Decimal


def plan_costs(
    cards: RateCards, subscription: Subscription | None, edges: Sequence[datetime | None], names: Sequence[str] = ()
) -> CostPlan:
    """How to price the windows that some edges bound, by some properties. Raises `Invalid` for too many usage periods
    in the span."""
    periods = usage_periods(subscription, Period(edges[0], edges[-1]))
    first, last = periods[0].start, edges[-1]
    marks = {*(each.start for each in periods), *(card.effective_at for card in cards), *edges}
    inner = sorted(
        at for at in marks if at is not None and at > (first or FIRST_INSTANT) and (last is None or at < last)
    )
    starts = [first, *inner]
    begins = [_sortable(each.start) for each in periods]
    places = [_sortable(edge) for edge in edges[:-1]]
    windows = []
    for start in starts:
        place = bisect_right(places, _sortable(start)) - 1
        period = bisect_right(begins, _sortable(start)) - 1
        windows.append(CostWindow(start, period, place if place >= 0 else None))
    by = dict.fromkeys((*(name for card in cards for name in card.group_by), *names))
    return CostPlan(cards, periods, tuple(by), (*starts, last), tuple(windows))


def cost_cells(plan: CostPlan, usage: Mapping[tuple[int, Texts], Decimal]) -> Iterator[CostCell]:
    """The cells of the span, priced. `usage` is by window of the plan and texts of its names.

    A price is a function of what was used since the beginning of the usage period; a cell costs the difference that it
    makes. Within a window texts come in their order. So the cells of any division add up to the same whole.
    """
    by_window: defaultdict[int, dict[Texts, Decimal]] = defaultdict(dict)
    for (number, texts), used in usage.items():
        by_window[number][texts] = used
    running: defaultdict[tuple[int, Texts | None], Decimal] = defaultdict(lambda: ZERO)
    positions = {card.effective_at: [plan.names.index(name) for name in card.group_by] for card in plan.cards}
    period, cards = -1, plan.cards
    for number, window in enumerate(plan.windows):
        if window.period != period:
            running.clear()
            period, cards = window.period, cards_in(plan.cards, plan.periods[window.period])
        in_force = card_at(plan.cards, window.start)
        for texts, used in sorted(by_window[number].items()):
            currency, amount = None, ZERO
            for which, card in enumerate(cards):
                key = card.key_of(tuple(texts[place] for place in positions[card.effective_at]))
                before = running[which, key]
                running[which, key] = after = add((before, used))
                if card is in_force and (price := card.price_of(key)) is not None:
                    currency, amount = card.currency, subtract(price.cost_of(after), price.cost_of(before))
            if window.place is not None:
                yield CostCell(window.place, window.period, texts, used, currency, amount)


def missing_minimums(plan: CostPlan, cells: Iterable[CostCell], span: Period, moment: datetime) -> Amounts:
    """What is missing to the minimum of each usage period that lies wholly in the span. The card that is in force at
    its end decides, or at the moment while it runs."""
    found: defaultdict[int, list[CostCell]] = defaultdict(list)
    for cell in cells:
        found[cell.period].append(cell)
    missing: list[tuple[str, Decimal]] = []
    for number, period in enumerate(plan.periods):
        card = card_at(plan.cards, min(_end(period) - _INSTANT, moment))
        if card is None or not card.minimum or not _within(period, span):
            continue
        lacking = subtract(card.minimum, amounts_of(found[number]).get(card.currency, ZERO))
        if lacking > 0:
            missing.append((card.currency, lacking))
    return _summed(missing)


def amounts_of(cells: Iterable[CostCell]) -> Amounts:
    """What some cells cost together."""
    return _summed((cell.currency, cell.amount) for cell in cells if cell.currency is not None)


def add_amounts(parts: Iterable[Amounts]) -> Amounts:
    """Amounts together, each currency for itself."""
    return _summed(each for part in parts for each in part.items())


def subtract_amounts(amounts: Amounts, others: Amounts) -> Amounts:
    """The difference of each currency."""
    return {
        currency: subtract(amounts.get(currency, ZERO), others.get(currency, ZERO))
        for currency in sorted({*amounts, *others})
    }


def unpriced(cells: Iterable[CostCell]) -> Decimal:
    """How much usage no price was in force for."""
    return add(cell.used for cell in cells if cell.currency is None)


def usage_periods(subscription: Subscription | None, span: Period) -> tuple[Period, ...]:
    """The usage periods that a span touches, in order, from the one in which it begins. What is before the only usage
    period is one of its own. Raises `Invalid` for too many."""
    periods = [_period_at(subscription, span.start)]
    while (end := periods[-1].end) is not None and (span.end is None or end < span.end) and end < LAST_INSTANT:
        if len(periods) == MOST_PERIODS:
            raise Invalid(f"costs: the span has more than {MOST_PERIODS:,} usage periods; narrow from and to")
        periods.append(_period_at(subscription, end))
    return tuple(periods)


def _period_at(subscription: Subscription | None, instant: datetime | None) -> Period:
    at = instant or FIRST_INSTANT
    period = usage_period(subscription, at)
    if not period.contains(at):
        return Period(None, period.start)
    began = period.start is not None and period.start >= FIRST_INSTANT
    return period if began else Period(None, period.end)


def _summed(parts: Iterable[tuple[str, Decimal]]) -> Amounts:
    found: defaultdict[str, list[Decimal]] = defaultdict(list)
    for currency, amount in parts:
        found[currency].append(amount)
    return {currency: add(found[currency]) for currency in sorted(found)}


def _within(period: Period, span: Period) -> bool:
    starts = span.start is None or (period.start is not None and span.start <= period.start)
    return starts and (span.end is None or (period.end is not None and period.end <= span.end))


def _sortable(instant: datetime | None) -> datetime:
    return instant or FIRST_INSTANT


def _end(period: Period) -> datetime:
    return period.end or LAST_INSTANT

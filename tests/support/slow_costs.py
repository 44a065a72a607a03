"""Costs the slow way: half a unit after the other, day by day. Cards and periods begin at midnight, usage is counted in
halves, and money is a fraction. It shares no code with `domain.price` and `domain.cost`."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

Texts = tuple[str, ...]
Event = tuple[date, dict[str, str], int]
"""The day, the texts of properties, and how many halves."""


@dataclass(frozen=True)
class SlowCard:
    """A card as it is written in a catalog, from a day on."""

    since: date
    written: Mapping[str, Any]

    def price_of(self, texts: Mapping[str, str]) -> tuple[str, Mapping[str, Any] | None]:
        """A name of the price, and the price."""
        for number, each in enumerate(self.written.get("groups", ())):
            if all(texts[name] == text for name, text in each["group"].items()):
                return f"group {number}", each
        return "else", self.written if {"price", "tiers"} & self.written.keys() else None


def bill(price: Mapping[str, Any], halves: int) -> Fraction:
    """What so many halves cost, taken one by one."""
    kind = price.get("type", "per_unit")
    cost, billed, in_package = Fraction(0), 0, Fraction(0)
    for number in range(1, halves + 1):
        if Fraction(number, 2) <= Fraction(str(price.get("included", 0))):
            continue
        billed += 1
        if kind == "package":
            if in_package <= 0:
                cost, in_package = cost + Fraction(str(price["price"])), Fraction(str(price["package"]))
            in_package -= Fraction(1, 2)
        elif kind == "per_unit":
            cost += Fraction(str(price["price"])) / 2
        elif kind == "graduated":
            cost += tier_price(price, Fraction(billed, 2)) / 2
    if kind == "volume":
        cost = sum((tier_price(price, Fraction(billed, 2)) / 2 for _ in range(billed)), Fraction(0))
    return cost


def tier_price(price: Mapping[str, Any], units: Fraction) -> Fraction:
    """Of the tier that the last of so many units is in."""
    for tier in price["tiers"]:
        if "up_to" not in tier or units <= Fraction(str(tier["up_to"])):
            return Fraction(str(tier["price"]))
    raise AssertionError(price)


@dataclass
class SlowCosts:
    """Goes through a history, from the first day to the last."""

    cards: Sequence[SlowCard]
    begins: set[date]
    """The days on which usage periods begin."""
    cells: dict[tuple[date, Texts], tuple[str, Fraction]] = field(default_factory=dict)
    """By day and texts, currency and cost; nothing where there is no price."""

    def run(self, events: Sequence[Event], names: Sequence[str], first: date, last: date) -> None:
        """Prices each day, by the texts of some properties, those of the cards among them."""
        of_days: defaultdict[date, Counter[Texts]] = defaultdict(Counter)
        for day, texts, halves in events:
            of_days[day][tuple(texts[name] for name in names)] += halves
        used: Counter[tuple[date, str]] = Counter()
        for day in days(first, last):
            if day in self.begins:
                used.clear()
            card = max((each for each in self.cards if each.since <= day), key=lambda each: each.since, default=None)
            for texts, halves in sorted(of_days[day].items()):
                named = dict(zip(names, texts, strict=True))
                for each in self.cards:
                    name, price = each.price_of(named)
                    before = used[each.since, name]
                    used[each.since, name] += halves
                    if each is card and price is not None:
                        cost = bill(price, before + halves) - bill(price, before)
                        self.cells[day, texts] = (str(each.written["currency"]), cost)

    def total(self, first: date, last: date) -> dict[str, Fraction]:
        """By currency, from one day up to another, which is not included."""
        found: defaultdict[str, Fraction] = defaultdict(Fraction)
        for (day, _), (currency, cost) in self.cells.items():
            if first <= day < last:
                found[currency] += cost
        return dict(found)


def days(first: date, last: date) -> Iterator[date]:
    while first < last:
        yield first
        first += timedelta(days=1)

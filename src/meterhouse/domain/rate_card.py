"""Rate cards: the prices of a meter, in force from an instant on."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from .meter import Aggregation
from .period import FIRST_INSTANT, Period
from .price import Price
from .quantity import ZERO

PRICED = (Aggregation.COUNT, Aggregation.SUM)
"""The meters that can have a price: what they count is added up, so that windows and groups add up to the whole."""


@dataclass(frozen=True, slots=True)
class RateCard:
    """The prices of one meter. Each price has its own usage: its tiers and what it includes are counted of that."""

    meter: str
    currency: str
    price: Price | None
    """Of all usage that no group has a price for; None: that has no price."""
    effective_at: datetime = FIRST_INSTANT
    """From when on it is in force, until the next one of its meter is."""
    group_by: tuple[str, ...] = ()
    """The properties whose texts decide about the price."""
    groups: Mapping[tuple[str, ...], Price] = field(default_factory=dict)
    """By texts of these properties, in their order."""
    minimum: Decimal = ZERO
    """The least that a usage period costs."""

    def key_of(self, texts: tuple[str, ...]) -> tuple[str, ...] | None:
        """What names the price of some texts of its properties; None for the price of all else."""
        return texts if texts in self.groups else None

    def price_of(self, key: tuple[str, ...] | None) -> Price | None:
        """The price that `key_of` names."""
        return self.price if key is None else self.groups[key]


RateCards = Sequence[RateCard]
"""Those of one meter, by the instants from which they are in force."""


def card_at(cards: RateCards, instant: datetime | None) -> RateCard | None:
    """The card in force at an instant, of which None is the beginning of time; None where there is none yet."""
    place = bisect_right(cards, instant or FIRST_INSTANT, key=lambda card: card.effective_at)
    return cards[place - 1] if place else None


def cards_in(cards: RateCards, period: Period) -> RateCards:
    """The cards that are in force at some time of a period."""
    first = card_at(cards, period.start)
    return [card for card in cards if card is first or period.contains(card.effective_at)]

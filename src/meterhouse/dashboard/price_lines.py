"""A rate card as lines of a table, one for each of its prices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from ..domain.period import FIRST_INSTANT
from ..domain.price import Price, PriceType
from ..domain.rate_card import RateCard
from .formats import number


@dataclass(frozen=True, slots=True)
class PriceLine:
    """One price."""

    card: RateCard
    group: str
    """Empty for the price of all usage."""
    price: Price

    @property
    def since(self) -> datetime | None:
        """From when on; None for always."""
        return None if self.card.effective_at == FIRST_INSTANT else self.card.effective_at

    @property
    def words(self) -> str:
        """What it costs."""
        currency, tiers = self.card.currency, self.price.tiers
        if self.price.type is PriceType.PACKAGE:
            return f"{number(tiers[0].price)} {currency} for {number(self.price.package)}, whole"
        if self.price.type is PriceType.PER_UNIT:
            return f"{number(tiers[0].price)} {currency} each"
        parts = [
            f"{number(tier.price)} {currency} "
            + (f"up to {number(tier.up_to)}" if tier.up_to is not None else "beyond")
            for tier in tiers
        ]
        return ("each unit " if self.price.type is PriceType.GRADUATED else "all units ") + ", ".join(parts)


def price_lines(card: RateCard) -> Iterator[PriceLine]:
    """The price of all usage, or of all else, and then those of groups."""
    if card.price is not None:
        yield PriceLine(card, "all else" if card.groups else "", card.price)
    for texts, price in card.groups.items():
        yield PriceLine(card, " · ".join(text or "(none)" for text in texts), price)

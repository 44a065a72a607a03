"""Prices: what an amount of usage costs. Every cost is exact."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from .quantity import EXACT, ZERO, add, subtract


class PriceType(StrEnum):
    """How usage becomes an amount of money."""

    PER_UNIT = "per_unit"
    """Each unit costs the same."""
    GRADUATED = "graduated"
    """Each unit costs what its tier says."""
    VOLUME = "volume"
    """All units cost what the tier says that usage has reached."""
    PACKAGE = "package"
    """Packages of units are sold whole: one that is begun is paid for."""


@dataclass(frozen=True, slots=True)
class PriceTier:
    """The units up to and including `up_to`, from where the tier before ends."""

    up_to: Decimal | None
    """None for the last tier, which does not end."""
    price: Decimal
    """Of one unit."""


@dataclass(frozen=True, slots=True)
class Price:
    """What usage in a usage period costs."""

    type: PriceType
    tiers: tuple[PriceTier, ...]
    """In order; one that does not end for PER_UNIT and PACKAGE. A PACKAGE's price is that of a package."""
    package: Decimal = Decimal(1)
    """PACKAGE: how many units are in one."""
    included: Decimal = ZERO
    """How much costs nothing in each usage period. It comes off before anything else."""

    def cost_of(self, used: Decimal) -> Decimal:
        """What so much usage since the beginning of a usage period costs. Usage below zero costs nothing."""
        billed = subtract(used, self.included)
        if billed <= 0:
            return ZERO
        if self.type is PriceType.PACKAGE:
            return EXACT.multiply(_begun(billed, self.package), self.tiers[0].price)
        if self.type is PriceType.VOLUME:
            return EXACT.multiply(billed, self._tier_of(billed).price)
        return add(self._parts(billed))

    def _tier_of(self, billed: Decimal) -> PriceTier:
        return next(tier for tier in self.tiers if tier.up_to is None or billed <= tier.up_to)

    def _parts(self, billed: Decimal) -> list[Decimal]:
        """What the units of each tier cost."""
        parts, begin = [], ZERO
        for tier in self.tiers:
            end = billed if tier.up_to is None else min(billed, tier.up_to)
            if end <= begin:
                break
            parts.append(EXACT.multiply(subtract(end, begin), tier.price))
            begin = end
        return parts


def per_unit(price: Decimal) -> Price:
    """The same price for each unit."""
    return Price(PriceType.PER_UNIT, (PriceTier(None, price),))


def _begun(billed: Decimal, package: Decimal) -> Decimal:
    whole, rest = EXACT.divmod(billed, package)
    return add((whole, Decimal(1))) if rest else whole

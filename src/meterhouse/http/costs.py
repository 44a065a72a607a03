"""Costs as they are written: exact amounts as decimal strings, and beside them as their currency is shown."""

from __future__ import annotations

import msgspec

from ..domain.cost import Amounts
from ..domain.currency import shown
from ..domain.quantity import ZERO, plain
from ..services.usage_costs import MeterCost


class CostBody(msgspec.Struct):
    """What something costs in one currency: `amount` exactly, and `display` rounded, half up, to the digits that ISO
    4217 gives the currency. Sums are made of amounts, never of what is displayed."""

    currency: str
    amount: str
    display: str


class MeterCostBody(msgspec.Struct):
    """What a meter costs in one currency. `from_usage` is `amount` without what is missing to the minimum."""

    currency: str
    amount: str
    display: str
    from_usage: str


def cost_bodies(amounts: Amounts) -> list[CostBody]:
    """One for each currency, in the order of their codes."""
    return [
        CostBody(currency, str(plain(amount)), shown(amount, currency)) for currency, amount in sorted(amounts.items())
    ]


def meter_cost_bodies(cost: MeterCost) -> list[MeterCostBody]:
    """The same of a meter."""
    return [
        MeterCostBody(each.currency, each.amount, each.display, str(plain(cost.from_usage.get(each.currency, ZERO))))
        for each in cost_bodies(cost.amounts)
    ]

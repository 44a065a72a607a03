"""Pools: balances that several meters draw on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from .meter import Aggregation

GRANTED = (Aggregation.COUNT, Aggregation.SUM)
"""The meters that a grant can be about: what they count is added up, so that it can be taken from an amount."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Something that grants are given of, and that the usage of meters draws on."""

    slug: str
    rates: Mapping[str, Decimal]
    """How much one unit of each meter takes."""
    unit: str = ""
    description: str = ""

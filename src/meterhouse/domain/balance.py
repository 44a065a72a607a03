"""Balances: what is left of a plan's allowance and of grants, and how it has come to that. See `burn_down`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from .grant import Grant
from .period import Period
from .quantity import add, subtract


@dataclass(frozen=True, slots=True)
class Part:
    """One grant's part of a balance, since it began or was last given anew."""

    grant: Grant
    granted: Decimal
    """Its amount, and what was carried over."""
    burned: Decimal
    expired: Decimal
    """What was left when it expired."""
    voided: Decimal
    """What was left when it was voided."""

    @property
    def left(self) -> Decimal:
        """What can still be used of it."""
        return subtract(self.granted, add((self.burned, self.expired, self.voided)))


@dataclass(frozen=True, slots=True)
class BurnedSpan:
    """What happened in a span, and what was left at its end, before anything that begins or ends then."""

    span: Period
    used: Decimal
    allowance_burned: Decimal
    """Of the plan's allowance. Like `burned` less than 0 where usage was taken back."""
    granted: Decimal
    """By grants that began or were given anew, what they carried over not counted again."""
    burned: Decimal
    """Of grants."""
    expired: Decimal
    """What was left of grants that expired, and was not carried over."""
    voided: Decimal
    overage: Decimal
    """What nothing had room for, less what of it was taken back."""
    allowance_left: Decimal | None
    """None: any amount."""
    grants_left: Decimal

    @property
    def balance(self) -> Decimal | None:
        """What can still be used in all; None: any amount."""
        return None if self.allowance_left is None else add((self.allowance_left, self.grants_left))


@dataclass(frozen=True, slots=True)
class Balance:
    """What is left at one moment, and how its usage period has come to it."""

    period: Period
    """The usage period."""
    allowance: Decimal | None
    """What the plan allows in it; None: any amount."""
    allowance_burned: Decimal
    grants_burned: Decimal
    """What was used of grants in the usage period, of those that have ended too."""
    overage: Decimal
    """What nothing had room for in the usage period."""
    parts: tuple[Part, ...]
    """Of the grants that are in force, in the order in which they are used."""
    ended: tuple[Part, ...]
    """Of those that have ended since the instant from which it was computed."""
    until: datetime | None
    """When the next of all that it is made of begins, is given anew, or ends."""

    @property
    def allowance_left(self) -> Decimal | None:
        """What can still be used of what the plan allows; None: any amount."""
        return None if self.allowance is None else subtract(self.allowance, self.allowance_burned)

    @property
    def left(self) -> Decimal | None:
        """What can still be used in all; None: any amount."""
        left = self.allowance_left
        return None if left is None else add((left, *(part.left for part in self.parts)))

    @property
    def limit(self) -> Decimal | None:
        """How much can be used in the usage period as things stand: the plan's allowance, what was used of grants, and
        what is left of them; None: any amount."""
        if self.allowance is None:
            return None
        return add((self.allowance, self.grants_burned, *(part.left for part in self.parts)))


def joined(spans: Sequence[BurnedSpan]) -> BurnedSpan:
    """Adjoining spans as one."""
    last = spans[-1]
    return BurnedSpan(
        Period(spans[0].span.start, last.span.end),
        used=add(each.used for each in spans),
        allowance_burned=add(each.allowance_burned for each in spans),
        granted=add(each.granted for each in spans),
        burned=add(each.burned for each in spans),
        expired=add(each.expired for each in spans),
        voided=add(each.voided for each in spans),
        overage=add(each.overage for each in spans),
        allowance_left=last.allowance_left,
        grants_left=last.grants_left,
    )

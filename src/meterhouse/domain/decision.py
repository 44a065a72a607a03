"""Whether there is room for an amount, limit by limit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from .limit_rule import LimitMode, LimitRule, LimitWindow
from .period import Period
from .plan import Subscription, usage_period
from .quantity import EXACT, MAX_DECIMAL_PLACES, ZERO, add, divide, round_down, subtract


def window_at(window: LimitWindow, subscription: Subscription | None, instant: datetime) -> Period:
    """The window of a limit that an instant is in."""
    if window is LimitWindow.PERIOD:
        return usage_period(subscription, instant)
    start = instant.replace(minute=0, second=0, microsecond=0)
    if window is LimitWindow.HOUR:
        return Period(start, start + timedelta(hours=1))
    start = start.replace(hour=0)
    return Period(start, start + timedelta(days=1))


@dataclass(frozen=True, slots=True)
class LimitState:
    """One limit, as it is at the moment."""

    rule: LimitRule
    text: str
    """The value of the property that the limit is of; empty for the organization's."""
    window: Period
    limit: Decimal
    used: Decimal
    held: Decimal
    """What open reservations hold."""
    rate: Decimal = Decimal(1)
    """How much of it one unit takes of what was asked for: meters draw on pools."""

    @property
    def room(self) -> Decimal:
        """How many units of what was asked for fit into what is left."""
        return self.left if self.rate == 1 else round_down(divide(self.left, self.rate), MAX_DECIMAL_PLACES)

    @property
    def left(self) -> Decimal:
        """What may still be used; below 0 where more was used than the limit."""
        return subtract(self.limit, add((self.used, self.held)))

    @property
    def resets_at(self) -> datetime | None:
        """When the window ends."""
        return self.window.end


@dataclass(frozen=True, slots=True)
class Decision:
    """What became of a question for an amount."""

    limits: tuple[LimitState, ...]
    """All that the amount counts against, before it does."""
    exceeded: tuple[LimitState, ...]
    """Those that have no room for it."""

    @property
    def outcome(self) -> str:
        """`refused`, `exceeded` where it was granted beyond a soft limit, `shadow` where one that only counts would
        have refused it, or else `granted`."""
        modes = {each.rule.mode for each in self.exceeded}
        if LimitMode.HARD in modes:
            return "refused"
        return "exceeded" if LimitMode.SOFT in modes else "shadow" if modes else "granted"

    @property
    def refused_by(self) -> LimitState | None:
        """The first limit that refuses it; None when it is granted."""
        return next((each for each in self.exceeded if each.rule.mode is LimitMode.HARD), None)

    @property
    def left(self) -> Decimal | None:
        """What the limits that refuse leave; None where nothing limits."""
        hard = [each.room for each in self.limits if each.rule.mode is LimitMode.HARD]
        return max(ZERO, min(hard)) if hard else None


def decide(amount: Decimal, limits: Iterable[LimitState]) -> Decision:
    """Looks whether each limit has room. What takes nothing is never refused."""
    found = tuple(limits)
    exceeded = tuple(each for each in found if amount > ZERO and EXACT.multiply(amount, each.rate) > each.left)
    return Decision(found, exceeded)

"""Plans, and what an organization has subscribed to."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from .limit_rule import LimitRule
from .meter import Meter
from .period import ALL_TIME, Interval, Period, period_at
from .quantity import EXACT, ZERO, add


@dataclass(frozen=True, slots=True)
class Plan:
    """A named set of limits, of meters and of pools. What is not named is not limited by the plan."""

    slug: str
    limits: dict[str, Decimal] = field(default_factory=dict)
    description: str = ""
    rules: tuple[LimitRule, ...] = ()
    """Other limits: by a property, in a day or an hour, or not hard."""

    def rules_of(self, meter: str) -> tuple[LimitRule, ...]:
        """All limits of a meter; that of the organization in its usage period is always among them, without an
        amount: overrides and add-ons change it."""
        own = tuple(rule for rule in self.rules if rule.meter == meter)
        return own if any(rule.amount is None for rule in own) else (LimitRule(meter), *own)


@dataclass(frozen=True, slots=True)
class Addon:
    """Grants of a subscription for one meter, before all others: `recurring` in every usage period, `one_time` in the
    one of `granted_at` only. See `grant.addon_grants`."""

    one_time: Decimal = ZERO
    recurring: Decimal = ZERO
    granted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Flex:
    """Metered overage under a budget: what goes beyond the limit is sold at a price until the budget is spent."""

    enabled: bool
    budget_cents: Decimal
    unit_price_cents: Decimal


@dataclass(frozen=True, slots=True)
class Subscription:
    """Which plan an organization has, and how its usage periods run. `plan` None: only overrides and add-ons count."""

    plan: str | None
    anchor: datetime
    interval: Interval | None
    """None: a single period, from the anchor on, that never resets."""
    limits: dict[str, Decimal] = field(default_factory=dict)
    """Overrides of the plan's limits, meter by meter."""
    addons: dict[str, Addon] = field(default_factory=dict)
    flex: Flex | None = None


def usage_period(subscription: Subscription | None, now: datetime) -> Period:
    """The usage period that contains `now`. Without a subscription there is nothing to reset: all time."""
    if subscription is None:
        return ALL_TIME
    if subscription.interval is None:
        return Period(subscription.anchor, None)
    return period_at(subscription.anchor, subscription.interval, now)


def previous_period(subscription: Subscription | None, period: Period) -> Period | None:
    """The usage period that ends where another one begins; None where there is none: without a subscription, and before
    the first period, which begins at the anchor and without an interval is the only one."""
    if subscription is None or period.start is None or period.start <= subscription.anchor:
        return None
    return usage_period(subscription, period.start - timedelta(microseconds=1))


def allowance_of(subscription: Subscription | None, plan: Plan | None, slug: str) -> Decimal | None:
    """How much of a meter the subscription itself allows in each usage period; None when it does not limit it.

    `plan` is the subscription's, looked up. Without a subscription, and without a plan that is not overridden, it is 0.
    """
    if subscription is None:
        return ZERO
    return subscription.limits.get(slug, ZERO if plan is None else plan.limits.get(slug))


def pool_allowance(subscription: Subscription | None, plan: Plan | None, pool: str) -> Decimal | None:
    """How much of a pool the subscription allows in each usage period; None where it names no limit of it."""
    if subscription is None:
        return None
    return subscription.limits.get(pool, None if plan is None else plan.limits.get(pool))


def limit_of(subscription: Subscription | None, plan: Plan | None, meter: Meter, period: Period) -> Decimal | None:
    """How much of a meter may be used in `period` where there are no grants but add-ons; None when nothing limits it.
    Add-ons come on top of whatever the allowance is."""
    allowance = allowance_of(subscription, plan, meter.slug)
    if subscription is None or allowance is None:
        return allowance
    addon = subscription.addons.get(meter.slug, Addon())
    one_time = addon.one_time if addon.granted_at is not None and period.contains(addon.granted_at) else ZERO
    return add((allowance, addon.recurring, one_time))


def bought_by_flex(subscription: Subscription | None) -> Decimal:
    """How many units a subscription sells beyond a limit: none where flex is off."""
    flex = subscription.flex if subscription is not None else None
    return flex_capacity(flex) if flex is not None and flex.enabled else ZERO


def flex_capacity(flex: Flex) -> Decimal:
    """How many units the flex budget buys: whole units only, 0 at no price."""
    return EXACT.divide_int(flex.budget_cents, flex.unit_price_cents) if flex.unit_price_cents > 0 else ZERO

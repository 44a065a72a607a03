"""Subscriptions of organizations."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time
from decimal import Decimal

import msgspec
from litestar import Response, Router, get, put
from litestar.params import FromPath, JSONBody

from ..domain.errors import Invalid
from ..domain.period import Interval, format_instant, parse_instant
from ..domain.plan import Addon, Flex, Subscription
from ..domain.quantity import ZERO, parse_quantity, plain
from ..services.accounts import Accounts
from .authentication import Authentication
from .bodies import json_response
from .openapi import described


class AddonBody(msgspec.Struct, forbid_unknown_fields=True):
    """Extra allowance: once, in the usage period of `granted_at`, or in every one. Without `granted_at` it is granted
    now, unless the same amount was granted in the period that runs."""

    one_time: Decimal = ZERO
    recurring: Decimal = ZERO
    granted_at: str | None = None


class FlexBody(msgspec.Struct, forbid_unknown_fields=True):
    """Metered overage under a budget."""

    enabled: bool
    budget_cents: Decimal = ZERO
    unit_price_cents: Decimal = ZERO


class SubscriptionBody(msgspec.Struct, forbid_unknown_fields=True):
    """Plan and usage periods. `anchor` is an RFC 3339 instant or a date (UTC); `interval` P1M, P30D … or null."""

    plan: str | None
    anchor: str
    interval: str | None
    limits: dict[str, Decimal] = {}
    addons: dict[str, AddonBody] = {}
    flex: FlexBody | None = None


_EXAMPLE = {
    "plan": "Team",
    "anchor": "2026-01-15",
    "interval": "P1M",
    "limits": {"tokens": 1_000_000},
    "addons": {"tokens": {"one_time": 0, "recurring": "250000"}},
}


def subscriptions_router(accounts: Accounts, authentication: Authentication) -> Router:
    """The routes, closed over what they need."""

    @get(
        "/v1/organizations/{organization_id:str}/subscription",
        operation_id="getSubscription",
        tags=["Subscriptions"],
        opt=described(answers={200: SubscriptionBody | None}),
    )
    async def get_subscription(organization_id: FromPath[str]) -> Response[bytes]:
        """The subscription, or null."""
        organization = await asyncio.to_thread(accounts.organization, organization_id)
        subscription = await asyncio.to_thread(accounts.subscription, organization.id)
        return json_response(None if subscription is None else _subscription(subscription))

    @put(
        "/v1/organizations/{organization_id:str}/subscription",
        operation_id="putSubscription",
        tags=["Subscriptions"],
        opt=described(answers={200: SubscriptionBody}, example=_EXAMPLE),
    )
    async def put_subscription(organization_id: FromPath[str], data: JSONBody[SubscriptionBody]) -> Response[bytes]:
        """Replaces the subscription. An unchanged one-time add-on is not granted anew."""
        wanted = _read_subscription(data)
        return json_response(_subscription(await asyncio.to_thread(accounts.subscribe, organization_id, wanted)))

    return Router("/", route_handlers=[get_subscription, put_subscription], guards=[authentication.operator_guard()])


def _read_subscription(body: SubscriptionBody) -> Subscription:
    return Subscription(
        plan=body.plan,
        anchor=read_anchor(body.anchor),
        interval=Interval.parse(body.interval) if body.interval is not None else None,
        limits={meter: read_amount(limit, f"limits.{meter}") for meter, limit in body.limits.items()},
        addons={
            meter: Addon(
                read_amount(addon.one_time, f"addons.{meter}.one_time"),
                read_amount(addon.recurring, f"addons.{meter}.recurring"),
                _read_granted_at(addon, f"addons.{meter}.granted_at"),
            )
            for meter, addon in body.addons.items()
        },
        flex=Flex(
            body.flex.enabled,
            read_amount(body.flex.budget_cents, "flex.budget_cents"),
            read_amount(body.flex.unit_price_cents, "flex.unit_price_cents"),
        )
        if body.flex is not None
        else None,
    )


def read_anchor(text: str) -> datetime:
    """An RFC 3339 instant, or the beginning of a date in UTC. Raises `Invalid`."""
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC) if len(text) == 10 else parse_instant(text)
    except ValueError:
        raise Invalid(f"anchor {text!r} is neither a date nor an RFC 3339 instant") from None


def _read_granted_at(addon: AddonBody, place: str) -> datetime | None:
    if addon.granted_at is None:
        return None
    if not addon.one_time:
        raise Invalid(f"{place} is about one_time, which is 0")
    try:
        return parse_instant(addon.granted_at)
    except Invalid as wrong:
        raise Invalid(f"{place}: {wrong}") from None


def read_amount(value: Decimal, place: str) -> Decimal:
    """An amount of a body, exactly as it was written; `place` names it. Raises `Invalid`, also for less than 0."""
    try:
        amount = parse_quantity(str(value))
    except Invalid as wrong:
        raise Invalid(f"{place}: {wrong}") from None
    if amount < 0:
        raise Invalid(f"{place} must not be negative")
    return amount


def _subscription(subscription: Subscription) -> SubscriptionBody:
    flex = subscription.flex
    return SubscriptionBody(
        plan=subscription.plan,
        anchor=format_instant(subscription.anchor),
        interval=str(subscription.interval) if subscription.interval is not None else None,
        limits={meter: plain(limit) for meter, limit in subscription.limits.items()},
        addons={
            meter: AddonBody(
                plain(addon.one_time),
                plain(addon.recurring),
                format_instant(addon.granted_at) if addon.granted_at else None,
            )
            for meter, addon in subscription.addons.items()
        },
        flex=FlexBody(flex.enabled, plain(flex.budget_cents), plain(flex.unit_price_cents)) if flex else None,
    )

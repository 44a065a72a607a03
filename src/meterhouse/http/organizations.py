"""Meterhouse's own API: organizations, their subscriptions and keys; for the operator alone."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime, time
from decimal import Decimal

import msgspec
from litestar import Response, Router, delete, get, post, put
from litestar.params import FromPath, JSONBody

from ..domain.errors import Invalid
from ..domain.meter import Meter
from ..domain.organization import Key, Organization
from ..domain.period import Interval, format_instant, parse_instant
from ..domain.plan import Flex, Grant, Plan, Subscription
from ..domain.quantity import ZERO, parse_quantity, plain
from ..services.accounts import Accounts
from ..services.catalogs import Catalogs
from .authentication import Authentication
from .bodies import json_response
from .request import HttpRequest


class NewOrganization(msgspec.Struct, forbid_unknown_fields=True):
    """An organization to add. `created_at` is RFC 3339; now when absent."""

    id: str
    name: str
    namespace: str
    created_at: str | None = None


class OrganizationBody(msgspec.Struct):
    """An organization."""

    id: str
    name: str
    namespace: str
    created_at: str


class GrantBody(msgspec.Struct, forbid_unknown_fields=True):
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
    addons: dict[str, GrantBody] = {}
    flex: FlexBody | None = None


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """A key to make. Without `scopes` it gets what its contract needs for reading."""

    scopes: list[str] | None = None
    user_id: str | None = None
    expires_at: str | None = None


class KeyBody(msgspec.Struct):
    """A key, without its secret."""

    id: str
    prefix: str
    scopes: list[str]
    user_id: str | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class CreatedKey(KeyBody):
    """A new key; `key` is the secret and is shown this once."""

    key: str = ""


class MeterBody(msgspec.Struct):
    """A meter of a catalog."""

    slug: str
    event_type: str
    aggregation: str
    unit: str
    description: str
    value: list[str]
    group_by: list[str]


class PlanBody(msgspec.Struct):
    """A plan of a catalog; meters that it does not name are not limited by it."""

    slug: str
    description: str
    limits: dict[str, Decimal]


class NamespaceBody(msgspec.Struct):
    """A namespace: its contract, meters and plans."""

    namespace: str
    contract: str | None
    meters: list[MeterBody]
    plans: list[PlanBody]


def organizations_router(accounts: Accounts, catalogs: Catalogs, authentication: Authentication) -> Router:
    """The routes, closed over what they need. Without `usage` (no engine was opened) there is no usage route."""

    @post("/v1/organizations", operation_id="createOrganization", tags=["Organizations"])
    async def create_organization(request: HttpRequest, data: JSONBody[NewOrganization]) -> Response[OrganizationBody]:
        """Adds an organization; 409 when the id is taken."""
        request.state.organization = data.id
        created_at = parse_instant(data.created_at) if data.created_at is not None else None
        added = await asyncio.to_thread(accounts.create_organization, data.id, data.name, data.namespace, created_at)
        return Response(_organization(added), status_code=201)

    @get("/v1/organizations", operation_id="listOrganizations", tags=["Organizations"])
    async def list_organizations() -> list[OrganizationBody]:
        """All organizations, by id."""
        return [_organization(each) for each in await asyncio.to_thread(accounts.ledger.organizations)]

    @get("/v1/organizations/{organization_id:str}", operation_id="getOrganization", tags=["Organizations"])
    async def get_organization(organization_id: FromPath[str]) -> OrganizationBody:
        """One organization."""
        return _organization(await asyncio.to_thread(accounts.organization, organization_id))

    @delete("/v1/organizations/{organization_id:str}", operation_id="deleteOrganization", tags=["Organizations"])
    async def delete_organization(organization_id: FromPath[str]) -> None:
        """Deletes an organization: its keys then get their contract's answer for one that is gone."""
        await asyncio.to_thread(accounts.delete_organization, organization_id)

    @post(
        "/v1/organizations/{organization_id:str}/restore",
        status_code=200,
        operation_id="restoreOrganization",
        tags=["Organizations"],
    )
    async def restore_organization(organization_id: FromPath[str]) -> OrganizationBody:
        """Takes a deletion back, while the events are still stored."""
        return _organization(await asyncio.to_thread(accounts.restore_organization, organization_id))

    @get("/v1/organizations/{organization_id:str}/subscription", operation_id="getSubscription", tags=["Subscriptions"])
    async def get_subscription(organization_id: FromPath[str]) -> Response[bytes]:
        """The subscription, or null."""
        organization = await asyncio.to_thread(accounts.organization, organization_id)
        subscription = await asyncio.to_thread(accounts.subscription, organization.id)
        return json_response(None if subscription is None else _subscription(subscription))

    @put("/v1/organizations/{organization_id:str}/subscription", operation_id="putSubscription", tags=["Subscriptions"])
    async def put_subscription(organization_id: FromPath[str], data: JSONBody[SubscriptionBody]) -> Response[bytes]:
        """Replaces the subscription. An unchanged one-time grant is not granted anew."""
        wanted = _read_subscription(data)
        return json_response(_subscription(await asyncio.to_thread(accounts.subscribe, organization_id, wanted)))

    @post("/v1/organizations/{organization_id:str}/keys", operation_id="createKey", tags=["Keys"])
    async def create_key(organization_id: FromPath[str], data: JSONBody[NewKey | None] = None) -> Response[CreatedKey]:
        """Makes a key in the format of the organization's contract. The secret is shown this once."""
        wanted = data or NewKey()
        expires_at = parse_instant(wanted.expires_at) if wanted.expires_at is not None else None
        key, secret = await asyncio.to_thread(
            accounts.create_key, organization_id, wanted.scopes, wanted.user_id, expires_at
        )
        body = CreatedKey(**msgspec.structs.asdict(_key(key)), key=secret)
        return Response(body, status_code=201)

    @get("/v1/organizations/{organization_id:str}/keys", operation_id="listKeys", tags=["Keys"])
    async def list_keys(organization_id: FromPath[str]) -> list[KeyBody]:
        """The organization's keys, without their secrets."""
        return [_key(key) for key in await asyncio.to_thread(accounts.keys, organization_id)]

    @delete("/v1/organizations/{organization_id:str}/keys/{key_id:str}", operation_id="revokeKey", tags=["Keys"])
    async def revoke_key(organization_id: FromPath[str], key_id: FromPath[str]) -> None:
        """Ends a key at once."""
        await asyncio.to_thread(accounts.revoke_key, organization_id, key_id)

    @get("/v1/namespaces", operation_id="listNamespaces", tags=["Catalogs"])
    async def list_namespaces() -> Response[bytes]:
        """The catalogs this server runs with: meters and plans by namespace."""
        return json_response(
            [
                NamespaceBody(
                    catalog.namespace,
                    catalog.contract,
                    [_meter(meter) for meter in catalog.meters.values()],
                    [_plan(plan) for plan in catalog.plans.values()],
                )
                for catalog in catalogs
            ]
        )

    routes = [
        create_organization,
        list_organizations,
        get_organization,
        delete_organization,
        restore_organization,
        get_subscription,
        put_subscription,
        create_key,
        list_keys,
        revoke_key,
        list_namespaces,
    ]
    return Router("/", route_handlers=routes, guards=[authentication.admin_guard()])


def _organization(organization: Organization) -> OrganizationBody:
    return OrganizationBody(
        organization.id, organization.name, organization.namespace, format_instant(organization.created_at)
    )


def _read_subscription(body: SubscriptionBody) -> Subscription:
    return Subscription(
        plan=body.plan,
        anchor=_read_anchor(body.anchor),
        interval=Interval.parse(body.interval) if body.interval is not None else None,
        limits={meter: _amount(limit, f"limits.{meter}") for meter, limit in body.limits.items()},
        addons={
            meter: Grant(
                _amount(grant.one_time, f"addons.{meter}.one_time"),
                _amount(grant.recurring, f"addons.{meter}.recurring"),
                _read_granted_at(grant, f"addons.{meter}.granted_at"),
            )
            for meter, grant in body.addons.items()
        },
        flex=Flex(
            body.flex.enabled,
            _amount(body.flex.budget_cents, "flex.budget_cents"),
            _amount(body.flex.unit_price_cents, "flex.unit_price_cents"),
        )
        if body.flex is not None
        else None,
    )


def _read_anchor(text: str) -> datetime:
    try:
        return datetime.combine(date.fromisoformat(text), time(), UTC) if len(text) == 10 else parse_instant(text)
    except ValueError:
        raise Invalid(f"anchor {text!r} is neither a date nor an RFC 3339 instant") from None


def _read_granted_at(grant: GrantBody, place: str) -> datetime | None:
    if grant.granted_at is None:
        return None
    if not grant.one_time:
        raise Invalid(f"{place} is about one_time, which is 0")
    try:
        return parse_instant(grant.granted_at)
    except Invalid as wrong:
        raise Invalid(f"{place}: {wrong}") from None


def _amount(value: Decimal, place: str) -> Decimal:
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
            meter: GrantBody(
                plain(grant.one_time),
                plain(grant.recurring),
                format_instant(grant.granted_at) if grant.granted_at else None,
            )
            for meter, grant in subscription.addons.items()
        },
        flex=FlexBody(flex.enabled, plain(flex.budget_cents), plain(flex.unit_price_cents)) if flex else None,
    )


def _key(key: Key) -> KeyBody:
    return KeyBody(
        key.id,
        key.prefix,
        sorted(key.scopes),
        key.user_id,
        format_instant(key.created_at),
        format_instant(key.expires_at) if key.expires_at else None,
        format_instant(key.revoked_at) if key.revoked_at else None,
    )


def _plan(plan: Plan) -> PlanBody:
    return PlanBody(plan.slug, plan.description, {meter: plain(limit) for meter, limit in plan.limits.items()})


def _meter(meter: Meter) -> MeterBody:
    return MeterBody(
        meter.slug,
        meter.event_type,
        meter.aggregation,
        meter.unit,
        meter.description,
        list(meter.values),
        list(meter.group_by),
    )

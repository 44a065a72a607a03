"""Namespaces, each with its catalog."""

from __future__ import annotations

from decimal import Decimal

import msgspec
from litestar import Response, Router, get

from ..domain.meter import Meter
from ..domain.plan import Plan
from ..domain.pool import Pool
from ..domain.quantity import plain
from ..services.catalogs import Catalogs
from .authentication import Authentication
from .bodies import json_response
from .openapi import described
from .prices import RateCardBody, rate_card_body


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


class PoolBody(msgspec.Struct):
    """A pool of a catalog; `rates` say how much one unit of each meter takes."""

    slug: str
    unit: str
    description: str
    rates: dict[str, Decimal]


class NamespaceBody(msgspec.Struct):
    """A namespace: its contract, meters, plans, pools and rate cards."""

    namespace: str
    contract: str | None
    meters: list[MeterBody]
    plans: list[PlanBody]
    pools: list[PoolBody]
    prices: list[RateCardBody]


def namespaces_router(catalogs: Catalogs, authentication: Authentication) -> Router:
    """The route, closed over what it needs."""

    @get(
        "/v1/namespaces",
        operation_id="listNamespaces",
        tags=["Catalogs"],
        opt=described(answers={200: list[NamespaceBody]}),
    )
    async def list_namespaces() -> Response[bytes]:
        """The catalogs this server runs with: meters, plans, pools and rate cards by namespace."""
        return json_response(
            [
                NamespaceBody(
                    catalog.namespace,
                    catalog.contract,
                    [_meter(meter) for meter in catalog.meters.values()],
                    [_plan(plan) for plan in catalog.plans.values()],
                    [_pool(pool) for pool in catalog.pools.values()],
                    [rate_card_body(card) for cards in catalog.prices.values() for card in cards],
                )
                for catalog in catalogs
            ]
        )

    return Router("/", route_handlers=[list_namespaces], guards=[authentication.operator_guard()])


def _plan(plan: Plan) -> PlanBody:
    return PlanBody(plan.slug, plan.description, {meter: plain(limit) for meter, limit in plan.limits.items()})


def _pool(pool: Pool) -> PoolBody:
    return PoolBody(pool.slug, pool.unit, pool.description, {meter: plain(rate) for meter, rate in pool.rates.items()})


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

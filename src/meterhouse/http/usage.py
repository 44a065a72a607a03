"""Meterhouse's own answers to how much is used, and whether there is enough left for more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath, Parameter

from ..contracts.contract import Contract
from ..domain.errors import Invalid
from ..domain.organization import Organization
from ..domain.period import Period, format_instant
from ..domain.quantity import MAX_DECIMAL_PLACES, parse_quantity, plain, round_half_even
from ..domain.summary import MeterSummary, UsageSummary
from ..services.accounts import Accounts
from ..services.usage import Usage
from .authentication import Authentication
from .bodies import json_response
from .contracts import response_of
from .problems import Forbidden, problem
from .request import HttpRequest


class PeriodBody(msgspec.Struct):
    """A half-open span in UTC; null sides are open."""

    start: str | None
    end: str | None


class MeterUsage(msgspec.Struct):
    """One meter: null limits mean unlimited; `remaining` is never negative, `overage` is what went beyond."""

    unit: str
    aggregation: str
    used: Decimal | None
    limit: Decimal | None
    remaining: Decimal | None
    overage: Decimal | None
    percent: Decimal | None
    period: PeriodBody
    resets_at: str | None


class UsageBody(msgspec.Struct):
    """Every meter of an organization, now."""

    organization: str
    name: str
    namespace: str
    plan: str | None
    as_of: str
    period: PeriodBody
    resets_at: str | None
    meters: dict[str, MeterUsage]


class QuotaBody(msgspec.Struct):
    """Whether `amount` more fits: it does. What is left is what was left before it."""

    meter: str
    amount: Decimal
    used: Decimal | None
    limit: Decimal | None
    remaining: Decimal | None
    resets_at: str | None


@dataclass(frozen=True, slots=True)
class UsageEndpoints:
    """For the admin key, or a key of the organization itself with a scope that reads usage."""

    accounts: Accounts
    contracts: Mapping[str, Contract]
    usage: Usage
    authentication: Authentication

    def router(self) -> Router:
        """Both questions."""

        @get("/v1/organizations/{organization_id:str}/usage", operation_id="getUsage", tags=["Usage"])
        async def get_usage(request: HttpRequest, organization_id: FromPath[str]) -> Response[bytes]:
            """Every meter in the current usage period: used, limit, remaining, percent, and when it resets.

            For the admin key, or a key of the organization itself with a scope that reads usage.
            """
            return await asyncio.to_thread(self._get_usage, request, organization_id)

        @get("/v1/organizations/{organization_id:str}/quota/{meter:str}", operation_id="checkQuota", tags=["Usage"])
        async def check_quota(
            request: HttpRequest,
            organization_id: FromPath[str],
            meter: FromPath[str],
            amount: Annotated[str, Parameter(description="How much more is wanted; 1 when absent.")] = "1",
        ) -> Response[bytes]:
            """Whether so much more of a meter fits into the current usage period: 200, or else 402 in the words of the
            organization's contract, to be passed on to its client. Nothing is reserved or counted.

            For the admin key, or a key of the organization itself with a scope that reads usage.
            """
            return await asyncio.to_thread(self._check_quota, request, organization_id, meter, amount)

        return Router("/", route_handlers=[get_usage, check_quota])

    def _get_usage(self, request: HttpRequest, organization_id: str) -> Response[bytes]:
        reader = self.usage.of(self._organization(request, organization_id))
        return json_response(_usage(reader.summary(), reader.now))

    def _check_quota(self, request: HttpRequest, organization_id: str, meter: str, amount: str) -> Response[bytes]:
        organization = self._organization(request, organization_id)
        try:
            wanted = parse_quantity(amount)
        except Invalid as wrong:
            raise Invalid(f"amount: {wrong}") from None
        if wanted < 0:
            raise Invalid("amount must not be negative")
        quota = self.usage.of(organization).meter_summary(meter)
        if quota.allows(wanted):
            return json_response(
                QuotaBody(
                    meter=meter,
                    amount=plain(wanted),
                    used=_exact(quota.used),
                    limit=_exact(quota.limit),
                    remaining=_exact(quota.remaining),
                    resets_at=format_instant(quota.resets_at) if quota.resets_at else None,
                )
            )
        contract = self.contracts.get(self.usage.catalogs.get(organization.namespace).contract or "")
        if contract is not None and contract.insufficient_quota is not None:
            return response_of(contract.insufficient_quota(quota))
        detail = f"{amount[:50]} more of {meter} does not fit: {_exact(quota.used)} of {_exact(quota.limit)} is used"
        return problem(request, 402, "quota_exceeded", detail)

    def _organization(self, request: HttpRequest, organization_id: str) -> Organization:
        caller = self.authentication.caller(request)
        if caller is not None:
            reading = self.accounts.policies[caller.organization.namespace].reading
            if caller.organization.id != organization_id or not caller.scopes & reading:
                raise Forbidden("this key may not read the usage of that organization")
        return self.accounts.organization(organization_id)


def _period(period: Period) -> PeriodBody:
    return PeriodBody(
        format_instant(period.start) if period.start else None, format_instant(period.end) if period.end else None
    )


def _usage(summary: UsageSummary, now: datetime) -> UsageBody:
    subscription, organization = summary.subscription, summary.organization
    return UsageBody(
        organization=organization.id,
        name=organization.name,
        namespace=organization.namespace,
        plan=subscription.plan if subscription else None,
        as_of=format_instant(now),
        period=_period(summary.period),
        resets_at=format_instant(summary.period.end) if summary.period.end else None,
        meters={each.meter.slug: _meter_usage(each) for each in summary.meters},
    )


def _meter_usage(each: MeterSummary) -> MeterUsage:
    return MeterUsage(
        unit=each.meter.unit,
        aggregation=each.meter.aggregation,
        used=_exact(each.used),
        limit=_exact(each.limit),
        remaining=_exact(each.remaining),
        overage=_exact(each.overage),
        percent=_exact(round_half_even(each.percent, 2)) if each.percent is not None else None,
        period=_period(each.period),
        resets_at=format_instant(each.resets_at) if each.resets_at else None,
    )


def _exact(value: Decimal | None) -> Decimal | None:
    # Only an average can have more places than a quantity.
    return None if value is None else plain(round_half_even(value, MAX_DECIMAL_PLACES))

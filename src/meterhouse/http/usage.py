"""Meterhouse's own answers to how much is used, and whether there is enough left for more."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Annotated

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath, Parameter

from ..contracts.contract import Shortage
from ..domain.cost import add_amounts
from ..domain.errors import Invalid
from ..domain.forecast import Forecast
from ..domain.period import format_instant
from ..domain.position import format_position
from ..domain.quantity import ZERO, parse_quantity, plain, round_half_even
from ..domain.query_parameters import instant_of
from ..domain.summary import MeterSummary
from ..services.enforcement import QuotaExceeded
from ..services.forecasts import Forecasts
from ..services.organization_usage import OrganizationUsage
from ..services.previous_usage import PreviousUsage, previous_usage
from ..services.usage import Usage
from ..services.usage_costs import MeterCost, usage_costs
from .bodies import exact, exactly, json_response
from .costs import CostBody, MeterCostBody, cost_bodies, meter_cost_bodies
from .metered_events import first_page
from .openapi import described
from .periods import PeriodBody, asked_period, period_body, written
from .portal_tokens import TAKES_PORTAL_TOKENS
from .problems import problem
from .quota_refusals import QuotaRefusals
from .readers import Readers
from .request import HttpRequest


class PreviousBody(msgspec.Struct):
    """The usage period before: all of it, and up to the same point of it as the period that is answered is at."""

    used: Decimal | None
    used_by_now: Decimal | None


class ForecastBody(msgspec.Struct):
    """How the period is expected to end: four times of five between `low` and `high`, which are null where the past is
    too short to tell. `exhausted_at` is when the limit is reached; null when it is not, or there is none."""

    used: Decimal
    low: Decimal | None
    high: Decimal | None
    exhausted_at: str | None
    method: str


class MeterUsage(msgspec.Struct):
    """One meter: null limits mean unlimited; `remaining` is never negative, `overage` is what went beyond. `previous`
    is null without a usage period before, `forecast` without one that runs and ends, and enough of a past.
    `complete_from` is there only where `used` may lack events before it, which were reduced before there was such a
    meter. `events`, where it was asked for, is where the events are listed that `used` is made of."""

    unit: str
    aggregation: str
    used: Decimal | None
    limit: Decimal | None
    remaining: Decimal | None
    overage: Decimal | None
    percent: Decimal | None
    period: PeriodBody
    resets_at: str | None
    previous: PreviousBody | None
    forecast: ForecastBody | None
    complete_from: str | msgspec.UnsetType = msgspec.UNSET
    events: str | msgspec.UnsetType = msgspec.UNSET
    costs: list[MeterCostBody] | msgspec.UnsetType = msgspec.UNSET
    """There where they were asked for and the meter has prices, one for each currency."""
    unpriced: Decimal | msgspec.UnsetType = msgspec.UNSET
    """With `costs`: how much of `used` no price was in force for."""


class UsageBody(msgspec.Struct):
    """Every meter of an organization in a usage period. `position` says which events are in it."""

    organization: str
    name: str
    namespace: str
    plan: str | None
    as_of: str
    position: str
    period: PeriodBody
    resets_at: str | None
    meters: dict[str, MeterUsage]
    incomplete: str | msgspec.UnsetType = msgspec.UNSET
    """There only where events were lost in a disaster: what was stored before this instant may be incomplete."""
    costs: list[CostBody] | msgspec.UnsetType = msgspec.UNSET
    """Where they were asked for: those of all meters together, one for each currency."""


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

    readers: Readers
    refusals: QuotaRefusals
    usage: Usage
    forecasts: Forecasts

    def router(self) -> Router:
        """Both questions."""

        @get(
            "/v1/organizations/{organization_id:str}/usage",
            operation_id="getUsage",
            tags=["Usage"],
            opt=TAKES_PORTAL_TOKENS | described(answers={200: UsageBody}),
        )
        async def get_usage(
            request: HttpRequest,
            organization_id: FromPath[str],
            *,
            as_of: Annotated[str | None, Parameter(description="An RFC 3339 instant; now when absent.")] = None,
            period: Annotated[str | None, Parameter(description="`current`, or `previous`.")] = None,
            period_of: Annotated[str | None, Parameter(description="An instant of the usage period.")] = None,
            links: Annotated[bool, Parameter(description="Adds links from each number to its events.")] = False,
            costs: Annotated[bool, Parameter(description="Adds what the usage costs.")] = False,
        ) -> Response[bytes]:
            """Every meter in a usage period: used, limit, remaining, percent, when it resets, what was used in the
            period before, and a forecast.

            `as_of` asks for an earlier moment: its usage period, and what had been received and corrected by then.
            `period=previous` asks for the period before that, and `period_of` for the one that holds an instant, with
            what is known as of now, or `as_of`. Limits and periods are those of the subscription of today. `links` lead
            from each number to exactly the events that it is made of, in the state of the store that the answer was
            made from. `costs` are those of the period so far, by the prices of the catalog of today.

            For the admin key, or a key of the organization itself with a scope that reads usage.
            """
            return await asyncio.to_thread(
                self._get_usage, request, organization_id, as_of, period, period_of, links=links, costs=costs
            )

        @get(
            "/v1/organizations/{organization_id:str}/quota/{meter:str}",
            operation_id="checkQuota",
            tags=["Usage"],
            opt=described(answers={200: QuotaBody}, problems=(402,), own_words=(402,)),
        )
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

    def _get_usage(
        self,
        request: HttpRequest,
        organization_id: str,
        as_of: str | None,
        period: str | None,
        period_of: str | None,
        *,
        links: bool,
        costs: bool,
    ) -> Response[bytes]:
        organization = self.readers.organization(request, organization_id)
        moment = None if as_of is None else instant_of("as_of", as_of)
        reader = self.usage.of(organization, moment)
        if period is not None or period_of is not None:
            reader = reader.over(asked_period(reader, period, period_of))
        return json_response(self._usage(reader, as_of=moment is not None, links=links, costs=costs))

    def _usage(self, reader: OrganizationUsage, *, as_of: bool, links: bool, costs: bool) -> UsageBody:
        summary = reader.summary()
        previous, forecasts = previous_usage(reader), self.forecasts.of(reader, summary, as_of=as_of)
        priced = usage_costs(reader) if costs else {}
        subscription, organization = summary.subscription, summary.organization
        return UsageBody(
            organization=organization.id,
            name=organization.name,
            namespace=organization.namespace,
            plan=subscription.plan if subscription else None,
            as_of=format_instant(reader.now),
            position=format_position({self.usage.seat.number: reader.commit}),
            period=period_body(summary.period),
            resets_at=written(summary.period.end),
            meters={
                each.meter.slug: _meter_usage(
                    each,
                    previous.get(each.meter.slug),
                    forecasts.get(each.meter.slug),
                    reader if links else None,
                    priced.get(each.meter.slug),
                )
                for each in summary.meters
            },
            incomplete=written(reader.lost_before()) or msgspec.UNSET,
            costs=cost_bodies(add_amounts(each.amounts for each in priced.values())) if costs else msgspec.UNSET,
        )

    def _check_quota(self, request: HttpRequest, organization_id: str, meter: str, amount: str) -> Response[bytes]:
        organization = self.readers.organization(request, organization_id)
        try:
            wanted = parse_quantity(amount)
        except Invalid as wrong:
            raise Invalid(f"amount: {wrong}") from None
        if wanted < 0:
            raise Invalid("amount must not be negative")
        reader = self.usage.of(organization)
        quota = replace(reader.meter_summary(meter), limit=reader.usable(meter))
        if quota.allows(wanted):
            return json_response(
                QuotaBody(
                    meter=meter,
                    amount=plain(wanted),
                    used=exact(quota.used),
                    limit=exact(quota.limit),
                    remaining=exact(quota.remaining),
                    resets_at=written(quota.resets_at),
                )
            )
        detail = f"{amount[:50]} more of {meter} does not fit: {exact(quota.used)} of {exact(quota.limit)} is used"
        shortage = Shortage(meter, quota.used or ZERO, quota.limit or ZERO, detail)
        told = self.refusals.in_own_words(organization.namespace, shortage)
        return told or problem(request, 402, QuotaExceeded.code, detail)


def _meter_usage(
    each: MeterSummary,
    previous: PreviousUsage | None,
    forecast: Forecast | None,
    linked: OrganizationUsage | None,
    cost: MeterCost | None,
) -> MeterUsage:
    return MeterUsage(
        unit=each.meter.unit,
        aggregation=each.meter.aggregation,
        used=exact(each.used),
        limit=exact(each.limit),
        remaining=exact(each.remaining),
        overage=exact(each.overage),
        percent=exact(round_half_even(each.percent, 2)) if each.percent is not None else None,
        period=period_body(each.period),
        resets_at=written(each.resets_at),
        previous=PreviousBody(exact(previous.used), exact(previous.used_by_now)) if previous else None,
        forecast=_forecast_body(forecast) if forecast else None,
        complete_from=written(each.complete_from) or msgspec.UNSET,
        events=first_page(linked, each.meter) if linked else msgspec.UNSET,
        costs=meter_cost_bodies(cost) if cost else msgspec.UNSET,
        unpriced=exactly(cost.unpriced) if cost else msgspec.UNSET,
    )


def _forecast_body(forecast: Forecast) -> ForecastBody:
    return ForecastBody(
        used=plain(forecast.used),
        low=exact(forecast.low),
        high=exact(forecast.high),
        exhausted_at=written(forecast.exhausted_at),
        method=forecast.method,
    )

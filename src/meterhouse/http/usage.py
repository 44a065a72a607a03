"""Meterhouse's own answers to how much is used, and whether there is enough left for more."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated
from urllib.parse import quote

import msgspec
from litestar import Response, Router, get
from litestar.params import FromPath, Parameter

from ..contracts.contract import Contract
from ..domain.errors import Invalid
from ..domain.event import Event
from ..domain.meter import Meter
from ..domain.organization import Organization
from ..domain.period import Period, format_instant, parse_instant
from ..domain.quantity import parse_quantity, plain, round_half_even
from ..domain.reading import PropertyReader, groups_of, reading_of
from ..domain.summary import MeterSummary
from ..services.accounts import Accounts
from ..services.usage import OrganizationUsage, Usage
from .authentication import Authentication
from .bodies import exact, json_response
from .contracts import response_of
from .problems import Forbidden, problem
from .request import HttpRequest

MAX_EVENTS_PER_PAGE = 1_000


class PeriodBody(msgspec.Struct):
    """A half-open span in UTC; null sides are open."""

    start: str | None
    end: str | None


class MeterUsage(msgspec.Struct):
    """One meter: null limits mean unlimited; `remaining` is never negative, `overage` is what went beyond.
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
    complete_from: str | msgspec.UnsetType = msgspec.UNSET
    events: str | msgspec.UnsetType = msgspec.UNSET


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
    incomplete: str | msgspec.UnsetType = msgspec.UNSET
    """There only where events were lost in a disaster: what was stored before this instant may be incomplete."""


class MeteredEvent(msgspec.Struct, omit_defaults=True):
    """An event that a meter reads: `value` is what it counts for, `text` what a UNIQUE_COUNT tells apart or the state
    of `entity`. `story` is where the whole of it is told to the operator."""

    source: str
    id: str
    time: str
    story: str
    value: Decimal | None = None
    text: str | None = None
    entity: str | None = None
    groups: dict[str, str] = {}
    not_counted_because: str | None = None


class MeteredEventsBody(msgspec.Struct):
    """A page of a meter's events, newest first. All pages are of one state of the store: what `next` leads to does not
    change while events come in. `next` is null on the last one."""

    organization: str
    meter: str
    events: list[MeteredEvent]
    next: str | None


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
        """All questions."""

        @get("/v1/organizations/{organization_id:str}/usage", operation_id="getUsage", tags=["Usage"])
        async def get_usage(
            request: HttpRequest,
            organization_id: FromPath[str],
            as_of: Annotated[str | None, Parameter(description="An RFC 3339 instant; now when absent.")] = None,
            links: Annotated[bool, Parameter(description="Adds links from each number to its events.")] = False,
        ) -> Response[bytes]:
            """Every meter in the current usage period: used, limit, remaining, percent, and when it resets.

            `as_of` asks for an earlier moment: its usage period, and what had been received and corrected by then;
            limits and periods are those of the subscription of today. `links` lead from each number to exactly the
            events that it is made of, in the state of the store that the answer was made from.

            For the admin key, or a key of the organization itself with a scope that reads usage.
            """
            return await asyncio.to_thread(self._get_usage, request, organization_id, as_of, links)

        @get("/v1/organizations/{organization_id:str}/events", operation_id="listMeteredEvents", tags=["Usage"])
        async def list_events(
            request: HttpRequest,
            organization_id: FromPath[str],
            meter: Annotated[str, Parameter(description="The meter that reads them; must be given.")] = "",
            cursor: Annotated[str | None, Parameter(description="Where to go on, from a link.")] = None,
            limit: Annotated[int, Parameter(ge=1, le=MAX_EVENTS_PER_PAGE, description="Events on a page.")] = 100,
        ) -> Response[bytes]:
            """The events that a meter's usage is made of, newest first; without a cursor those of the current usage
            period. The values of all pages add up to `used` of the answer that the link is from.

            For the admin key, or a key of the organization itself with a scope that reads usage.
            """
            return await asyncio.to_thread(self._list_events, request, organization_id, meter, cursor, limit)

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

        return Router("/", route_handlers=[get_usage, list_events, check_quota])

    def _get_usage(self, request: HttpRequest, organization_id: str, as_of: str | None, links: bool) -> Response[bytes]:
        organization = self._organization(request, organization_id)
        try:
            moment = None if as_of is None else parse_instant(as_of)
        except Invalid as wrong:
            raise Invalid(f"as_of: {wrong}") from None
        return json_response(_usage(self.usage.of(organization, moment), links=links))

    def _list_events(
        self, request: HttpRequest, organization_id: str, slug: str, cursor: str | None, limit: int
    ) -> Response[bytes]:
        reader = self.usage.of(self._organization(request, organization_id))
        if not slug:
            raise Invalid("meter: name the one whose events are wanted")
        meter = self.usage.catalogs.meter(reader.organization.namespace, slug)
        try:
            page = reader.events(meter.event_type, reader.span(meter), {}, limit, cursor)
        except Invalid as wrong:
            raise Invalid(f"cursor {wrong}") from None
        following = None if page.older is None else _events_path(reader, meter, page.older) + f"&limit={limit}"
        events = [_metered(meter, event) for event in page.events]
        return json_response(MeteredEventsBody(organization_id, slug, events, following))

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
                    used=exact(quota.used),
                    limit=exact(quota.limit),
                    remaining=exact(quota.remaining),
                    resets_at=format_instant(quota.resets_at) if quota.resets_at else None,
                )
            )
        contract = self.contracts.get(self.usage.catalogs.get(organization.namespace).contract or "")
        if contract is not None and contract.insufficient_quota is not None:
            return response_of(contract.insufficient_quota(quota))
        detail = f"{amount[:50]} more of {meter} does not fit: {exact(quota.used)} of {exact(quota.limit)} is used"
        return problem(request, 402, "quota_exceeded", detail)

    def _organization(self, request: HttpRequest, organization_id: str) -> Organization:
        caller = self.authentication.caller(request)
        if caller is not None:
            reading = self.accounts.policies[caller.organization.namespace].reading
            if caller.organization.id != organization_id or not caller.scopes & reading:
                raise Forbidden("this key may not read the usage of that organization")
        return self.accounts.organization(organization_id)


def period_body(period: Period) -> PeriodBody:
    """A period as it is answered."""
    return PeriodBody(
        format_instant(period.start) if period.start else None, format_instant(period.end) if period.end else None
    )


def _usage(reader: OrganizationUsage, *, links: bool) -> UsageBody:
    summary = reader.summary()
    subscription, organization = summary.subscription, summary.organization
    return UsageBody(
        organization=organization.id,
        name=organization.name,
        namespace=organization.namespace,
        plan=subscription.plan if subscription else None,
        as_of=format_instant(reader.now),
        period=period_body(summary.period),
        resets_at=format_instant(summary.period.end) if summary.period.end else None,
        meters={each.meter.slug: _meter_usage(each, reader if links else None) for each in summary.meters},
        incomplete=format_instant(lost_before) if (lost_before := reader.lost_before()) else msgspec.UNSET,
    )


def _meter_usage(each: MeterSummary, linked: OrganizationUsage | None) -> MeterUsage:
    return MeterUsage(
        unit=each.meter.unit,
        aggregation=each.meter.aggregation,
        used=exact(each.used),
        limit=exact(each.limit),
        remaining=exact(each.remaining),
        overage=exact(each.overage),
        percent=exact(round_half_even(each.percent, 2)) if each.percent is not None else None,
        period=period_body(each.period),
        resets_at=format_instant(each.resets_at) if each.resets_at else None,
        complete_from=format_instant(each.complete_from) if each.complete_from else msgspec.UNSET,
        events=_first_page(linked, each.meter) if linked else msgspec.UNSET,
    )


def _first_page(reader: OrganizationUsage, meter: Meter) -> str:
    return _events_path(reader, meter, reader.cursor(meter.event_type, reader.span(meter)))


def _events_path(reader: OrganizationUsage, meter: Meter, cursor: str) -> str:
    return f"/v1/organizations/{quote(reader.organization.id, safe='')}/events?meter={meter.slug}&cursor={cursor}"


def _metered(meter: Meter, event: Event) -> MeteredEvent:
    properties = PropertyReader(event)
    reading = reading_of(meter, properties)
    place = (quote(part, safe="") for part in (event.namespace, "events", event.source, event.id))
    return MeteredEvent(
        source=event.source,
        id=event.id,
        time=format_instant(event.time),
        story="/v1/namespaces/" + "/".join(place),
        value=exact(reading.value),
        text=reading.text or None,
        entity=reading.entity or None,
        groups=groups_of(meter, properties),
        not_counted_because=reading.reason or None,
    )

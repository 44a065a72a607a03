"""The page of an organization: its meters, balances and limits, a chart, its subscription, keys and corrections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from litestar import Response, Router, get
from litestar.params import FromPath

from ..domain.correction import STEPS, Step, step_of
from ..domain.cost import add_amounts
from ..domain.errors import Invalid
from ..domain.listing import EventQuery
from ..domain.organization import Organization
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..services.accounts import Accounts
from ..services.balances import balance_of, granted_slugs
from ..services.forecasts import Forecasts
from ..services.organization_usage import OrganizationUsage
from ..services.usage import Usage
from ..services.usage_costs import MeterCost, usage_costs
from .formats import bar
from .limits_section import LimitsSection
from .pages import Answer, Pages, View, Visit
from .usage_section import UsageSection, events_path

_CORRECTIONS = 20


@dataclass(frozen=True, slots=True)
class CorrectionLine:
    """What a correction did to one event."""

    action: str
    at: datetime
    step: Step


@dataclass(frozen=True, slots=True)
class OrganizationPages:
    """For the operator, and for the organization itself."""

    pages: Pages
    accounts: Accounts
    usage: Usage
    forecasts: Forecasts
    section: UsageSection
    limits: LimitsSection

    def router(self) -> Router:
        """The page, and its numbers as a file."""

        @get("/organizations/{organization_id:str}", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest, organization_id: FromPath[str]) -> Response[bytes]:
            return await self.pages.show(request, lambda visit: self._page(visit, organization_id))

        @get("/organizations/{organization_id:str}/usage.csv", include_in_schema=False, opt=READS_QUERY)
        async def as_csv(request: HttpRequest, organization_id: FromPath[str]) -> Response[bytes]:
            return await self.pages.show(request, lambda visit: self._csv(visit, organization_id))

        return Router("/", route_handlers=[show, as_csv])

    def _page(self, visit: Visit, organization_id: str) -> Answer:
        organization = visit.organization(self.accounts, organization_id)
        path = f"/organizations/{quote(organization.id, safe='')}"
        reader = self.usage.of(organization)
        told: dict[str, Any] = {
            "section": "organizations",
            **overview_of(reader, self.forecasts, events=True),
            "usage": self.section.of(organization, visit.query, path, events=True),
            "balances": [(slug, balance_of(reader, slug)) for slug in granted_slugs(reader)],
        }
        if visit.viewer.is_operator:
            told["limits"] = self.limits.of(organization)
            told["keys"] = self.accounts.keys(organization.id)
            told["now"] = self.accounts.clock.now()
            told["corrections"] = self._corrections(organization, reader.commit)
        return View("organization.html", told, 400 if told["usage"]["wrong"] else 200)

    def _csv(self, visit: Visit, organization_id: str) -> Answer:
        return self.section.csv(visit.organization(self.accounts, organization_id), visit.query)

    def _corrections(self, organization: Organization, commit: int) -> list[CorrectionLine]:
        """The latest of them, newest first."""
        found = [
            CorrectionLine(each.event.type.rpartition(".")[2], each.stored_at, step_of(each.event))
            for kind in STEPS
            for each in self.usage.store.list_events(
                EventQuery(organization.namespace, organization.id, kind, None, None, commit, _CORRECTIONS, {})
            )
        ]
        return sorted(found, key=lambda line: line.at, reverse=True)[:_CORRECTIONS]


def overview_of(reader: OrganizationUsage, forecasts: Forecasts, *, events: bool) -> dict[str, Any]:
    """Every meter of an organization, as the template shows it."""
    summary = reader.summary()
    expected = forecasts.of(reader, summary, as_of=False)
    costs: Mapping[str, MeterCost] = {}
    unpriceable = ""
    try:
        costs = usage_costs(reader)
    except Invalid as wrong:  # the page is worth having without them
        unpriceable = str(wrong)
    lines: Iterable[dict[str, Any]] = (
        {
            "summary": each,
            "href": events_path(summary.organization.id, each.meter.slug, reader.span(each.meter)) if events else "",
            "forecast": expected.get(each.meter.slug),
            "cost": costs.get(each.meter.slug),
            "bar": bar(each.used, each.limit, f"{each.meter.slug}: part of the limit that is used"),
        }
        for each in summary.meters
    )
    return {
        "organization": summary.organization,
        "subscription": summary.subscription,
        "period": summary.period,
        "meters": [*lines],
        "costs": add_amounts(each.amounts for each in costs.values()) if costs else None,
        "unpriceable": unpriceable,
        "lost_before": reader.lost_before(),
    }

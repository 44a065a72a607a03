"""The first page: how much comes in, who uses most, who is near a limit, and whether anything is wrong."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

from litestar import Response, Router, get

from ..domain.catalog import Catalog
from ..domain.quantity import ZERO
from ..domain.usage_query import ORGANIZATION, Compare, GroupUsage, UsageQuery, Window
from ..http.health import Health
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..services.nearing_limits import NearingLimits
from ..services.usage import Usage
from ..services.usage_queries import UsageQueries
from .formats import bar, sparkline
from .pages import Answer, Pages, View, Visit, redirect
from .system import refusals_of

_SHOWN = 8
_COMPARED = 200
"""How many of the largest organizations the fastest-growing ones are found among."""
_MOST_METERS = 20
_REFUSALS = 5


@dataclass(frozen=True, slots=True)
class OverviewPages:
    """For the operator; an organization is led to its own page."""

    pages: Pages
    usage: Usage
    queries: UsageQueries
    nearing: NearingLimits
    health: Health

    def router(self) -> Router:
        """The page."""

        @get("/", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._page)

        return Router("/", route_handlers=[show])

    def _page(self, visit: Visit) -> Answer:
        if own := visit.viewer.organization:
            return redirect(f"/organizations/{quote(own.id, safe='')}")
        catalogs = [*self.usage.catalogs]
        chosen = visit.given("namespace")
        catalog = self.usage.catalogs.get(chosen) if chosen else catalogs[0]
        meter = catalog.meters.get(visit.given("meter")) or next(iter(catalog.meters.values()))
        ranked = self._ranked(catalog, meter.slug)
        growing = [(each, grown) for each in ranked if (grown := each.figures.change_percent) is not None and grown > 0]
        told: dict[str, Any] = {
            "section": "overview",
            "catalogs": catalogs,
            "catalog": catalog,
            "meter": meter,
            "cards": self._cards(catalog),
            "largest": [(self._organization(each), each) for each in ranked[:_SHOWN]],
            "growing": [
                (self._organization(each), each, grown)
                for each, grown in sorted(growing, key=lambda found: found[1], reverse=True)[:_SHOWN]
            ],
            "nearing": [
                (near, bar(near.summary.used, near.summary.limit, "part of the limit that is used"))
                for near in self.nearing.above()
            ],
            **self._freshness(),
        }
        return View("overview.html", told)

    def _cards(self, catalog: Catalog) -> list[dict[str, Any]]:
        """The meters of a namespace by day."""
        query = UsageQuery(
            tuple(catalog.meters)[:_MOST_METERS], range="30d", window=Window.DAY, compare=Compare.PREVIOUS
        )
        answer = self.queries.answer(query, catalog.namespace, ())
        return [
            {
                "meter": each.meter,
                "total": each.figures.total,
                "change": each.change_percent,
                "spark": sparkline([value or ZERO for value in each.figures.windows]),
                "days": [*zip((window.label for window in answer.windows), each.figures.windows, strict=True)],
            }
            for each in answer.meters
        ]

    def _ranked(self, catalog: Catalog, slug: str) -> Sequence[GroupUsage]:
        query = UsageQuery((slug,), range="30d", group_by=(ORGANIZATION,), top=_COMPARED, compare=Compare.PREVIOUS)
        [answer] = self.queries.answer(query, catalog.namespace, ()).meters
        return answer.groups or ()

    def _organization(self, group: GroupUsage) -> tuple[str, str]:
        """The id and the name of an organization; events may name one that there is not."""
        name = group.group[ORGANIZATION]
        known = self.usage.ledger.organization(name)
        return name, known.name if known is not None else name

    def _freshness(self) -> dict[str, Any]:
        received = self.health.received()
        minutes, last_at = received.minutes, received.last_at_s
        return {
            "last_minute": minutes[-2],
            "this_minute": minutes[-1],
            "minutes": sparkline([Decimal(count) for count in minutes]),
            "last_hour": sum(minutes),
            "last_at": datetime.fromtimestamp(last_at, UTC) if last_at is not None else None,
            "lag": self.health.whole.lag_events(),
            "received": received.outcomes,
            "unmatched": received.unmatched,
            "refusals": refusals_of(received)[:_REFUSALS],
        }

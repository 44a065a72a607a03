"""The list of organizations: searched, filtered, sorted, in pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from litestar import Response, Router, get

from ..domain.directory import FoundOrganizations, OrganizationSearch
from ..domain.usage_query import ORGANIZATION, MeterAnswer, UsageQuery
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..ports.ledger import Ledger
from ..services.catalogs import Catalogs
from ..services.usage_queries import UsageQueries
from .pages import Answer, Pages, View, Visit, linked

_ON_A_PAGE = 50
_MOST_OFFSET = 10_000_000
MOST_SORTED = 1_000
"""How many organizations a meter sorts: those with most of it."""
SPAN = "30d"


@dataclass(frozen=True, slots=True)
class OrganizationsPages:
    """For the operator."""

    pages: Pages
    ledger: Ledger
    catalogs: Catalogs
    queries: UsageQueries

    def router(self) -> Router:
        """The page."""

        @get("/organizations", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._page)

        return Router("/", route_handlers=[show])

    def _page(self, visit: Visit) -> Answer:
        visit.for_operator()
        namespace, slug = self._chosen(visit)
        search = OrganizationSearch(
            text=visit.given("q").strip()[:200],
            namespace=namespace or None,
            plan=visit.given("plan") or None,
            offset=visit.number("offset", _MOST_OFFSET),
            limit=_ON_A_PAGE,
        )
        sorting = bool(slug) and visit.given("sort") != ORGANIZATION
        page, totals = self._sorted(search, slug) if sorting else self._by_id(search, slug)
        plans = sorted({plan for catalog in self.catalogs for plan in catalog.plans
                        if namespace in ("", catalog.namespace)})  # fmt: skip
        first, last = search.offset + 1, search.offset + len(page.found)
        told: dict[str, Any] = {
            "section": "organizations",
            "catalogs": [*self.catalogs],
            "plans": plans,
            "search": search,
            "meter": self.catalogs.meter(namespace, slug) if slug else None,
            "sorting": sorting,
            "most_sorted": MOST_SORTED,
            "page": page,
            "totals": totals,
            "first": first,
            "last": last,
            "previous": self._at(visit, search.offset - _ON_A_PAGE) if search.offset else "",
            "next": self._at(visit, search.offset + _ON_A_PAGE) if last < page.total else "",
        }
        return View("organizations.html", told)

    def _chosen(self, visit: Visit) -> tuple[str, str]:
        """The namespace and the meter. A meter is chosen together with its namespace, `unsiloed/credits`."""
        namespace, _, slug = visit.given("meter").partition("/")
        wanted = visit.given("namespace")
        if slug and wanted in ("", namespace):
            return namespace, self.catalogs.meter(namespace, slug).slug
        return (self.catalogs.get(wanted).namespace if wanted else ""), ""

    def _by_id(self, search: OrganizationSearch, slug: str) -> tuple[FoundOrganizations, dict[str, Decimal | None]]:
        page = self.ledger.find_organizations(search)
        ids = tuple(each.organization.id for each in page.found)
        return page, self._totals(search.namespace or "", slug, ids, len(ids)) if slug and ids else {}

    def _sorted(self, search: OrganizationSearch, slug: str) -> tuple[FoundOrganizations, dict[str, Decimal | None]]:
        """A page of the organizations with most of a meter."""
        totals = self._totals(search.namespace or "", slug, (), MOST_SORTED)
        everything = replace(search, ids=tuple(totals), offset=0, limit=MOST_SORTED)
        found = {each.organization.id: each for each in self.ledger.find_organizations(everything).found}
        ranked = [found[name] for name in totals if name in found]
        shown = ranked[search.offset : search.offset + search.limit]
        return FoundOrganizations(tuple(shown), len(ranked)), totals

    def _totals(self, namespace: str, slug: str, organizations: tuple[str, ...], top: int) -> dict[str, Decimal | None]:
        """Of each organization what it has used in the span, most first."""
        query = UsageQuery((slug,), range=SPAN, group_by=(ORGANIZATION,), top=top)
        [answer] = self.queries.answer(query, namespace, organizations).meters
        return dict(ranking(answer))

    def _at(self, visit: Visit, offset: int) -> str:
        return linked(visit.path, visit.query, offset=str(offset) if offset > 0 else "")


def ranking(answer: MeterAnswer) -> Sequence[tuple[str, Decimal | None]]:
    """The organizations of an answer that is grouped by them, and their totals."""
    return [(each.group[ORGANIZATION], each.figures.total) for each in answer.groups or ()]

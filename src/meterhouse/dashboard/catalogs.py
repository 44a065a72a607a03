"""Meters, plans and prices, by namespace, and how they came to be so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from litestar import Response, Router, get
from litestar.params import FromPath

from ..domain.catalog_version import CatalogVersion
from ..http.bodies import encode_body
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..services.catalog_changes import CatalogChanges
from ..services.catalogs import Catalogs
from .formats import ABSENT
from .pages import Answer, Pages, View, Visit, linked
from .price_lines import price_lines

_MOST_PRICES = 200
"""That are listed of a namespace."""
_VERSIONS_ON_A_PAGE = 20
_LARGEST_NUMBER = 10**9


@dataclass(frozen=True, slots=True)
class CatalogPages:
    """For the operator."""

    pages: Pages
    catalogs: Catalogs
    changes: CatalogChanges

    def router(self) -> Router:
        """What there is now, the versions of a namespace, and each of them."""

        @get("/meters", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._page)

        @get("/meters/{namespace:str}/versions", include_in_schema=False, opt=READS_QUERY)
        async def listed(request: HttpRequest, namespace: FromPath[str]) -> Response[bytes]:
            return await self.pages.show(request, lambda visit: self._versions(visit, namespace))

        @get("/meters/{namespace:str}/versions/{number:str}", include_in_schema=False, opt=READS_QUERY)
        async def version(request: HttpRequest, namespace: FromPath[str], number: FromPath[str]) -> Response[bytes]:
            return await self.pages.show(request, lambda visit: self._version(visit, namespace, number))

        return Router("/", route_handlers=[show, listed, version])

    def _page(self, visit: Visit) -> Answer:
        visit.for_operator()
        prices = {
            catalog.namespace: [
                line for cards in catalog.prices.values() for card in cards for line in price_lines(card)
            ]
            for catalog in self.catalogs
        }
        told: dict[str, Any] = {
            "section": "meters",
            "catalogs": [*self.catalogs],
            "newest": {catalog.namespace: self.changes.newest(catalog.namespace) for catalog in self.catalogs},
            "prices": prices,
            "most_prices": _MOST_PRICES,
        }
        return View("catalogs.html", told)

    def _versions(self, visit: Visit, namespace: str) -> Answer:
        visit.for_operator()
        before = visit.number("before", _LARGEST_NUMBER) or None
        found = self.changes.listed(namespace, before, _VERSIONS_ON_A_PAGE + 1)
        shown = found[:_VERSIONS_ON_A_PAGE]
        older = linked(visit.path, (), before=str(shown[-1].number)) if len(found) > len(shown) else ""
        told = {"section": "meters", "namespace": namespace, "versions": shown, "older": older, "newest": not before}
        return View("catalog_versions.html", told)

    def _version(self, visit: Visit, namespace: str, number: str) -> Answer:
        visit.for_operator()
        given = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1
        self.catalogs.get(namespace)
        version = self.changes.version(namespace, given)
        return View("catalog_version.html", {"section": "meters", "version": version, "parts": self._parts(version)})

    def _parts(self, version: CatalogVersion) -> list[dict[str, Any]]:
        """A row for each field that a version changed; for what it added or removed, one without a field."""
        rows: list[dict[str, Any]] = []
        for part in self.changes.changes_of(version):
            fields = [(each.name, _written(each.before), _written(each.after)) for each in part.fields]
            rows += [{"part": part, "fields": fields or [(ABSENT, ABSENT, ABSENT)]}]
        return rows


def _written(value: object) -> str:
    """A value of a catalog: a text as it is, and all else as JSON."""
    if value is None:
        return ABSENT
    return value if isinstance(value, str) else encode_body(value).decode()

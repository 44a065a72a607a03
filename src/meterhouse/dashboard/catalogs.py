"""Meters, plans and prices, by namespace."""

from __future__ import annotations

from dataclasses import dataclass

from litestar import Response, Router, get

from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..services.catalogs import Catalogs
from .pages import Answer, Pages, View, Visit
from .price_lines import price_lines

_MOST_PRICES = 200
"""That are listed of a namespace."""


@dataclass(frozen=True, slots=True)
class CatalogPages:
    """For the operator."""

    pages: Pages
    catalogs: Catalogs

    def router(self) -> Router:
        """The page."""

        @get("/meters", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._page)

        return Router("/", route_handlers=[show])

    def _page(self, visit: Visit) -> Answer:
        visit.for_operator()
        prices = {
            catalog.namespace: [
                line for cards in catalog.prices.values() for card in cards for line in price_lines(card)
            ]
            for catalog in self.catalogs
        }
        return View(
            "catalogs.html",
            {"section": "meters", "catalogs": [*self.catalogs], "prices": prices, "most_prices": _MOST_PRICES},
        )

"""An organization's usage page, for its own people: by a link that the operator made."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from litestar import Response, Router, get
from litestar.params import FromPath

from ..domain.errors import NotFound
from ..domain.organization import Organization
from ..http.portal_tokens import PortalClaims, PortalTokens
from ..http.problems import Unauthorized
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..services.accounts import Accounts
from ..services.forecasts import Forecasts
from ..services.usage import Usage
from .brand import stylesheet
from .organization import overview_of
from .pages import Answer, Pages, View, query_of
from .usage_section import UsageSection


@dataclass(frozen=True, slots=True)
class PortalPages:
    """For whoever has the link; no cookie is read or set."""

    pages: Pages
    tokens: PortalTokens
    accounts: Accounts
    usage: Usage
    forecasts: Forecasts
    section: UsageSection

    def router(self) -> Router:
        """The page, its numbers as a file, and its colours."""

        @get("/portal/{token:str}", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest, token: FromPath[str]) -> Response[bytes]:
            return await self._answer(request, token, self._page)

        @get("/portal/{token:str}/usage.csv", include_in_schema=False, opt=READS_QUERY)
        async def as_csv(request: HttpRequest, token: FromPath[str]) -> Response[bytes]:
            return await self._answer(request, token, self._csv)

        @get("/portal/{token:str}/theme.css", include_in_schema=False, opt=READS_QUERY)
        async def colours(request: HttpRequest, token: FromPath[str]) -> Response[bytes]:
            return await self._answer(request, token, self._colours)

        return Router("/", route_handlers=[show, as_csv, colours])

    async def _answer(
        self, request: HttpRequest, token: str, make: Callable[[HttpRequest, str, PortalClaims, Organization], Answer]
    ) -> Response[bytes]:
        def answer() -> Response[bytes]:
            claims = self.tokens.read(token)
            if claims is None:
                raise Unauthorized("this link is not complete, or was changed: ask for a new one where you found it")
            try:
                organization = self.accounts.organization(claims.organization)
            except NotFound:
                raise Unauthorized("this link has ended: ask for a new one where you found it") from None
            request.state.organization = organization.id
            made = make(request, token, claims, organization)
            return made if isinstance(made, Response) else self.pages.render(made)

        return await asyncio.to_thread(answer)

    def _page(self, request: HttpRequest, token: str, claims: PortalClaims, organization: Organization) -> Answer:
        reader, path = self.usage.of(organization), f"/portal/{token}"
        usage = self.section.of(organization, query_of(request), path, events=False)
        told = {
            **overview_of(reader, self.forecasts, events=False),
            "usage": usage,
            "theme": claims.theme,
            "colours": f"{path}/theme.css" if claims.theme.color else "",
        }
        origin = claims.theme.logo_origin
        return View("portal.html", told, 400 if usage["wrong"] else 200, claims.origins, (origin,) if origin else ())

    def _csv(self, request: HttpRequest, _token: str, _claims: PortalClaims, organization: Organization) -> Answer:
        return self.section.csv(organization, query_of(request))

    def _colours(self, _request: HttpRequest, _token: str, claims: PortalClaims, _organization: Organization) -> Answer:
        return Response(stylesheet(claims.theme.color).encode(), media_type="text/css")

"""Links to an organization's usage page, for its own people's browsers; the operator makes them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Response, Router, post
from litestar.params import FromPath, JSONBody

from ..domain.period import format_instant
from ..ports.clock import Clock
from ..services.accounts import Accounts
from .authentication import Authentication
from .openapi import described
from .portal_tokens import MAX_ORIGINS, PortalTokens, Theme
from .request import HttpRequest, address_of

Seconds = Annotated[int, msgspec.Meta(ge=60, le=2_592_000)]


class NewPortalLink(msgspec.Struct, forbid_unknown_fields=True):
    """A link to make. `origins` are the only ones whose pages may show it in a frame, or call with its token."""

    expires_in_seconds: Seconds
    origins: Annotated[list[str], msgspec.Meta(max_length=MAX_ORIGINS)] = []
    theme: Theme = Theme()


class PortalLink(msgspec.Struct):
    """A link. `url` is `path` at the address that the request was sent to; `token` is what `path` ends with."""

    url: str
    path: str
    token: str
    expires_at: str


def portal_links_router(
    accounts: Accounts, tokens: PortalTokens, clock: Clock, authentication: Authentication
) -> Router:
    """The route, closed over what it needs."""

    @post(
        "/v1/organizations/{organization_id:str}/portal-links",
        operation_id="createPortalLink",
        tags=["Portal"],
        opt=described(example={"expires_in_seconds": 3600, "origins": ["https://app.example.com"]}),
    )
    async def create_portal_link(
        request: HttpRequest, organization_id: FromPath[str], data: JSONBody[NewPortalLink]
    ) -> Response[PortalLink]:
        """Makes a link to the organization's usage page, with a token that reads its usage and nothing else until it
        expires. Whoever has the link can look."""
        organization = await asyncio.to_thread(accounts.organization, organization_id)
        await asyncio.to_thread(accounts.ledger.record_act, organization=organization.id)
        expires_at = clock.now().replace(microsecond=0) + timedelta(seconds=data.expires_in_seconds)
        token = tokens.write(organization.id, expires_at, tuple(data.origins), data.theme)
        path = f"/portal/{token}"
        link = PortalLink(f"{address_of(request)}{path}", path, token, format_instant(expires_at))
        return Response(link, status_code=201)

    return Router("/", route_handlers=[create_portal_link], guards=[authentication.operator_guard()])

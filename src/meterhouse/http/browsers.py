"""What monitors and browsers ask for: HEAD wherever there is GET, and cross-origin calls of our own API."""

from __future__ import annotations

import re
from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, HTTPScope, Message, Receive, ReceiveMessage, Scope, Send

from .portal_tokens import PortalTokens

_API = "/v1/"
"""Only these paths may be called across origins: each needs a key, and no cookie gives one."""
_OF_PORTALS = re.compile(r"/v1/query|/v1/organizations/[^/]+/(?:usage|events)")
"""What the token of a usage page reads."""
_PREFLIGHT = [
    (b"access-control-allow-methods", b"GET, HEAD, POST, PUT, DELETE"),
    (b"access-control-allow-headers", b"authorization, content-type"),
    (b"access-control-max-age", b"600"),
]
_EXPOSED = [(b"access-control-expose-headers", b"x-request-id, retry-after")]


class Head:
    """Answers HEAD as GET, without the body; contracts have an answer of their own to HEAD."""

    def __init__(self, app: ASGIApp, of_contract: Callable[[str], bool]):
        self._app = app
        self._of_contract = of_contract

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP or scope["method"] != "HEAD" or self._of_contract(scope["path"]):
            await self._app(scope, receive, send)
            return
        scope["method"] = "GET"

        async def receive_disconnect() -> ReceiveMessage:
            return {"type": "http.disconnect"}  # so that what is streamed ends after its headers

        async def send_start(message: Message) -> None:
            if message["type"] == "http.response.start":
                await send(message)

        await self._app(scope, receive_disconnect, send_start)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class CrossOrigin:
    """Lets pages of the named origins (`*` for all) call our own API with a key, and answers their preflights. With the
    token of a usage page, only pages of the origins that it names.

    A preflight has no token yet. What a token reads is therefore allowed to be asked from anywhere: whether the page
    may read the answer is decided when the token is there, and without one there is no answer worth reading.
    """

    def __init__(
        self, app: ASGIApp, origins: tuple[str, ...], tokens: PortalTokens, of_contract: Callable[[str], bool]
    ):
        self._app = app
        self._origins = frozenset(origin.encode() for origin in origins)
        self._tokens = tokens
        self._of_contract = of_contract

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP or (allowed := self._allowed(scope)) is None:
            await self._app(scope, receive, send)
            return
        headers = [(b"access-control-allow-origin", allowed), (b"vary", b"origin")]
        if scope["method"] == "OPTIONS":
            await send({"type": "http.response.start", "status": 204, "headers": [*headers, *_PREFLIGHT]})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return

        async def send_allowed(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *headers, *_EXPOSED]
            await send(message)

        await self._app(scope, receive, send_allowed)

    def _allowed(self, scope: HTTPScope) -> bytes | None:
        """The origin that may read the answer; None when the request has no origin, or one that may not."""
        path = scope["path"]
        if not path.startswith(_API) or self._of_contract(path):
            return None
        origin = _header(scope, b"origin")
        if origin is None:
            return None
        allowed = b"*" if b"*" in self._origins else origin if origin in self._origins else None
        if not _OF_PORTALS.fullmatch(path):
            return allowed
        if scope["method"] == "OPTIONS":
            return allowed or origin
        named = self._named(_header(scope, b"authorization") or b"")
        return allowed if named is None else origin if origin in named else None

    def _named(self, header: bytes) -> frozenset[bytes] | None:
        """The origins that the token of an `Authorization` header names; None when that is no such token."""
        scheme, _, token = header.decode("latin-1").partition(" ")
        try:
            claims = self._tokens.read(token.strip()) if scheme.lower() == "bearer" else None
        except HTTPException:  # its time is over: there is nothing to read
            return frozenset()
        return None if claims is None else frozenset(origin.encode() for origin in claims.origins)


def _header(scope: HTTPScope, wanted: bytes) -> bytes | None:
    return next((value for name, value in scope["headers"] if name == wanted), None)

"""The fast path of checks: the operator's are answered from memory, without routing, most of their cost otherwise."""

from __future__ import annotations

import re

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Receive, Scope, Send

from .authentication import Authentication
from .bodies import SMALL_BODY_BYTES
from .regular_events import again, whole_body
from .reservations import ReservationEndpoints
from .slow_bodies import TooSlow

_PATH = re.compile(r"/v1/organizations/([^/%]{1,256})/check")
_ODD_HEADERS = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"origin"})


class CheckFastPath:
    """Answers small regular checks exactly as the route would. All others, and all failures, go through the route."""

    def __init__(self, app: ASGIApp, endpoints: ReservationEndpoints, authentication: Authentication):
        self._app = app
        self._endpoints = endpoints
        self._authentication = authentication

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        asked = None
        if scope["type"] == ScopeType.HTTP and scope["method"] == "POST":
            asked = self._regular(scope)
        if asked is None:
            await self._app(scope, receive, send)
            return
        organization_id, size = asked
        received: list[HTTPReceiveMessage] = []
        try:
            answer = self._endpoints.check_at_once(organization_id, await whole_body(receive, size, received))
        except TooSlow:
            raise
        except Exception:  # noqa: BLE001 - the route words every failure
            answer = None
        if answer is None:
            await self._app(scope, again(received, receive), send)
            return
        scope["path_template"] = "/v1/organizations/{organization_id}/check"
        scope["state"]["organization"] = organization_id
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer, "more_body": False})

    def _regular(self, scope: HTTPScope) -> tuple[str, int] | None:
        """The organization, and how long the body is."""
        path = _PATH.fullmatch(scope["path"])
        if path is None or scope["query_string"]:
            return None
        headers: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _ODD_HEADERS or name in headers:
                return None
            headers[name] = value
        size = headers.get(b"content-length", b"")
        if not size.isdigit() or int(size) > SMALL_BODY_BYTES:
            return None
        if not self._authentication.may_ingest(headers.get(b"authorization", b""), scope, None):
            return None
        return path[1], int(size)

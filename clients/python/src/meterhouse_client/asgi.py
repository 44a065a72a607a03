"""Middleware for ASGI applications (Starlette, FastAPI, Litestar …): counts requests, and keeps to limits."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from .client import AsyncClient
from .errors import MeterhouseClientError, Unreachable
from .meter import Meter

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
OrganizationOf = Callable[[Scope], "str | None"]
"""Whose request it is; None for nobody's, which is not counted."""


class MeterhouseMiddleware:
    """Records an event for each request that was answered: `method`, `path` (the route's template where the framework
    tells it), `status`, `duration_ms`, `request_bytes` and `response_bytes`.

    With `limits`, a client that checks, a request of an organization that has nothing left of `meter` is refused with
    402 before the application sees it; while the server does not answer, requests go through.
    """

    def __init__(
        self,
        app: App,
        *,
        meter: Meter,
        organization: OrganizationOf,
        event_type: str = "http.request",
        limits: AsyncClient | None = None,
        limited_meter: str = "requests",
        on_error: Callable[[MeterhouseClientError], None] | None = None,
    ):
        """`organization` is called for each request, and may read anything of its scope."""
        self._app = app
        self._meter = meter
        self._organization = organization
        self._event_type = event_type
        self._limits = limits
        self._limited_meter = limited_meter
        self._on_error = on_error or (lambda _error: None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        organization = self._organization(scope) if scope["type"] == "http" else None
        if organization is None:
            await self._app(scope, receive, send)
            return
        if self._limits is not None and not await self._has_room(self._limits, organization):
            await _refuse(send, self._limited_meter)
            return
        began = time.perf_counter()
        status, received, sent = 500, 0, 0

        async def receive_counted() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body") or b"")
            return message

        async def send_counted(message: Message) -> None:
            nonlocal status, sent
            if message["type"] == "http.response.start":
                status = message["status"]
            sent += len(message.get("body") or b"")
            await send(message)

        try:
            await self._app(scope, receive_counted, send_counted)
        finally:
            data = {
                "method": scope["method"],
                "path": _template(scope),
                "status": status,
                "duration_ms": round((time.perf_counter() - began) * 1000, 3),
                "request_bytes": received,
                "response_bytes": sent,
            }
            try:
                self._meter.record(self._event_type, organization, data)
            except MeterhouseClientError as failure:  # the request was answered: what is wrong is not its caller's
                self._on_error(failure)

    async def _has_room(self, limits: AsyncClient, organization: str) -> bool:
        try:
            return (await limits.check(organization, self._limited_meter)).allowed
        except Unreachable as failure:
            self._on_error(failure)
            return True


def _template(scope: Scope) -> str:
    """The route's path with its parameters' names, where a framework says it; else the path."""
    route = scope.get("route")
    told = getattr(route, "path_format", None) or getattr(route, "path", None) or scope.get("path_template")
    return str(told or scope["path"])


async def _refuse(send: Send, meter: str) -> None:
    problem = {
        "type": "about:blank",
        "title": "Payment Required",
        "status": 402,
        "code": "quota_exceeded",
        "detail": f"there is nothing left of {meter}",
    }
    content = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": 402, "headers": headers})
    await send({"type": "http.response.body", "body": content})

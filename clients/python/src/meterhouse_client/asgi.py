"""Middleware for ASGI applications (Starlette, FastAPI, Litestar …): counts requests, and keeps to limits."""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPStatus
from typing import Any

from .async_client import AsyncClient
from .errors import MeterhouseClientError
from .meter import Meter
from .telling import tell

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

    With `limits`, a client that checks, a request of an organization that has nothing left of `limited_meter` is
    refused before the application sees it, with `refused_with`: 402, or 429 for clients that know that one. While the
    server does not answer, or refuses to, requests go through. What prevents an event or a check is told to `on_error`,
    or logged.
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
        refused_with: int = 402,
        on_error: Callable[[MeterhouseClientError], None] | None = None,
    ):
        """`organization` is called for each request, and may read anything of its scope."""
        self._app = app
        self._meter = meter
        self._organization = organization
        self._event_type = event_type
        self._limits = limits
        self._limited_meter = limited_meter
        self._refused_with = HTTPStatus(refused_with)
        self._on_error = on_error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        organization = self._organization(scope) if scope["type"] == "http" else None
        if organization is None:
            await self._app(scope, receive, send)
            return
        if self._limits is not None and not await self._has_room(self._limits, organization):
            await _refuse(send, self._refused_with, self._limited_meter)
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
                tell(failure, self._on_error)

    async def _has_room(self, limits: AsyncClient, organization: str) -> bool:
        try:
            return (await limits.check(organization, self._limited_meter)).allowed
        except MeterhouseClientError as failure:  # a check that fails is no answer: nobody is turned away for it
            tell(failure, self._on_error)
            return True


def _template(scope: Scope) -> str:
    """The route's path with its parameters' names, where a framework says it; else the path."""
    route = scope.get("route")
    told = getattr(route, "path_format", None) or getattr(route, "path", None) or scope.get("path_template")
    return str(told or scope["path"])


async def _refuse(send: Send, status: HTTPStatus, meter: str) -> None:
    problem = {
        "type": "about:blank",
        "title": status.phrase,
        "status": status.value,
        "code": "quota_exceeded",
        "detail": f"there is nothing left of {meter}",
    }
    content = json.dumps(problem).encode()
    headers = [(b"content-type", b"application/problem+json"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status.value, "headers": headers})
    await send({"type": "http.response.body", "body": content})

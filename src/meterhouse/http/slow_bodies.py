"""Bounds how long a request's body may take: a connection is held only by clients that keep sending."""

from __future__ import annotations

import asyncio

from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from .problems import PROBLEM_JSON, encode_problem

_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class TooSlow(HTTPException):
    """The body did not come in time; nothing of it was taken."""

    status_code = 408


class SlowBodies:
    """Refuses bodies that take longer than `seconds` and the time that their bytes take at the slowest rate."""

    def __init__(self, app: ASGIApp, seconds: int, bytes_per_second: int):
        self._app = app
        self._seconds = seconds
        self._bytes_per_second = bytes_per_second

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] == ScopeType.HTTP and scope["method"] in _WITH_BODY:
            receive = _Timed(receive, self._seconds, self._bytes_per_second)
        try:
            await self._app(scope, receive, send)
        except TooSlow as slow:  # from the short cut of small requests, which words no failure
            content = encode_problem(408, "request_timeout", slow.detail, scope["state"]["request_id"])
            headers = [(b"content-type", PROBLEM_JSON.encode()), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 408, "headers": headers})
            await send({"type": "http.response.body", "body": content, "more_body": False})


class _Timed:
    """Receives one body, each part of it before its deadline. Raises `TooSlow`."""

    def __init__(self, receive: Receive, seconds: int, bytes_per_second: int):
        self._receive = receive
        self._bytes_per_second = bytes_per_second
        self._deadline = asyncio.get_running_loop().time() + seconds
        self._complete = False

    async def __call__(self) -> ReceiveMessage:
        if self._complete:  # what is waited for now is that the client hangs up
            return await self._receive()
        try:
            async with asyncio.timeout_at(self._deadline):
                message = await self._receive()
        except TimeoutError:
            raise TooSlow(
                "the body came too slowly, or not at all; see METERHOUSE_BODY_TIMEOUT_SECONDS and "
                "METERHOUSE_BODY_BYTES_PER_SECOND",
                headers={"connection": "close"},
            ) from None
        if message["type"] == "http.request":
            self._deadline += len(message["body"]) / self._bytes_per_second
            self._complete = not message["more_body"]
        return message

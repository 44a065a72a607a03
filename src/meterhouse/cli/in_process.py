"""Requests to an application in this process, whose answers are read while they are made."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import httpx

if TYPE_CHECKING:
    from litestar.types import ASGIApp

_AHEAD = 4
"""How many pieces of an answer may wait for their reader."""


class InProcess(httpx.AsyncBaseTransport):
    """Like `httpx.ASGITransport`, which however holds all of an answer before it gives any of it."""

    def __init__(self, app: ASGIApp):
        self._app = app

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """See `httpx.AsyncBaseTransport`."""
        body = iter([await request.aread()])
        messages: asyncio.Queue[Any] = asyncio.Queue(_AHEAD)
        complete = asyncio.Event()

        async def receive() -> Any:
            for whole in body:
                return {"type": "http.request", "body": whole, "more_body": False}
            await complete.wait()  # before that this client does not hang up, it cancels
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            await messages.put(message)
            if message["type"] == "http.response.body" and not message.get("more_body"):
                complete.set()

        async def run() -> None:
            failure: Exception | None = None
            try:
                await self._app(_scope(request), receive, send)
            except Exception as raised:  # noqa: BLE001 - it belongs to the reader
                failure = raised
            await messages.put(failure)

        answer = _Answer(messages, asyncio.create_task(run()))
        start = await answer.message()
        return httpx.Response(start["status"], headers=start["headers"], stream=answer)


class _Answer(httpx.AsyncByteStream):
    def __init__(self, messages: asyncio.Queue[Any], task: asyncio.Task[None]):
        self._messages = messages
        self._task = task

    async def message(self) -> Any:
        """The application's next message, None after the last; raises `httpx.ReadError` when it has failed."""
        message = await self._messages.get()
        if isinstance(message, Exception):
            raise httpx.ReadError(str(message)) from message
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (message := await self.message()) is not None:
            if body := message.get("body"):
                yield body

    async def aclose(self) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task


def _scope(request: httpx.Request) -> Any:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.partition(b"?")[0],
        "query_string": request.url.query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "server": (request.url.host, request.url.port),
        "client": ("127.0.0.1", 0),
    }

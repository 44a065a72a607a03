"""Bounds how long a request's body may take: a connection is held only by clients that keep sending."""

from __future__ import annotations

import asyncio
from typing import Any

from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, Receive, ReceiveMessage, Scope, Send

from .problems import PROBLEM_JSON, encode_problem

_WITH_BODY = frozenset({"POST", "PUT", "PATCH", "DELETE"})
_LOOKS_EVERY_S = 0.25
_REFUSED_AT_ONCE = 20
"""So that thousands that are due together hold up others by milliseconds only."""
_NEXT_REFUSED_AFTER_S = 0.02


class TooSlow(HTTPException):
    """The body did not come in time; nothing of it was taken."""

    status_code = 408


class BrokenOff(HTTPException):
    """The client hung up before the body was complete; the log and the metrics have this status, nobody else."""

    status_code = 400


class SlowBodies:
    """Refuses bodies that take longer than `seconds` and the time that their bytes take at the slowest rate.

    One timer looks at all bodies that are waited for: a timer for each would cost small requests more than anything.
    """

    def __init__(self, app: ASGIApp, seconds: int, bytes_per_second: int):
        self._app = app
        self._seconds = seconds
        self._bytes_per_second = bytes_per_second
        self._waiting: set[_Body] = set()
        self._looking: asyncio.AbstractEventLoop | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP or scope["method"] not in _WITH_BODY:
            await self._app(scope, receive, send)
            return
        loop = asyncio.get_running_loop()
        if self._looking is not loop:
            self._looking = loop
            loop.call_later(_LOOKS_EVERY_S, self._look, loop)
        body = _Body(receive, self._waiting, loop.time() + self._seconds, self._bytes_per_second)
        try:
            await self._app(scope, body, send)
        except TooSlow as slow:  # from the short cut of small requests, which words no failure
            content = encode_problem(408, "request_timeout", slow.detail, scope["state"]["request_id"])
            headers = [(b"content-type", PROBLEM_JSON.encode()), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 408, "headers": headers})
            await send({"type": "http.response.body", "body": content, "more_body": False})

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        now = loop.time()
        due = [each for each in self._waiting if each.deadline <= now]
        for body in due[:_REFUSED_AT_ONCE]:
            body.expire()
        self._looking = loop if self._waiting else None
        if self._waiting:
            more = len(due) > _REFUSED_AT_ONCE
            loop.call_later(_NEXT_REFUSED_AFTER_S if more else _LOOKS_EVERY_S, self._look, loop)


class _Body:
    """Receives one body, each part of it before the deadline. Raises `TooSlow` and `BrokenOff`."""

    __slots__ = ("_bytes_per_second", "_complete", "_expired", "_receive", "_task", "_waiting", "deadline")

    def __init__(self, receive: Receive, waiting: set[_Body], deadline: float, bytes_per_second: int):
        self.deadline = deadline
        self._receive = receive
        self._waiting = waiting
        self._bytes_per_second = bytes_per_second
        self._complete = False
        self._expired = False
        self._task: asyncio.Task[Any] | None = None

    async def __call__(self) -> ReceiveMessage:
        if self._complete:  # what is waited for now is that the client hangs up
            return await self._receive()
        if self._expired:
            raise _too_slow()
        self._task = asyncio.current_task()
        self._waiting.add(self)
        try:
            message = await self._receive()
        except asyncio.CancelledError:
            if self._ended_by_others():
                raise
            raise _too_slow() from None
        finally:
            self._waiting.discard(self)
        if message["type"] != "http.request":
            raise BrokenOff("the client hung up before the body was complete")
        self.deadline += len(message["body"]) / self._bytes_per_second
        self._complete = not message["more_body"]
        return message

    def _ended_by_others(self) -> bool:
        """Whether the task is cancelled for another reason than this body."""
        return not self._expired or self._task is None or self._task.uncancel() > 0

    def expire(self) -> None:
        """Stops waiting."""
        if self._task is not None and not self._expired:
            self._expired = True
            self._task.cancel()


def _too_slow() -> TooSlow:
    return TooSlow(
        "the body came too slowly, or not at all; see METERHOUSE_BODY_TIMEOUT_SECONDS and "
        "METERHOUSE_BODY_BYTES_PER_SECOND",
        headers={"connection": "close"},
    )

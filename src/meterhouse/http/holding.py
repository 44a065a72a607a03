"""Refusing requests while another process may have this one's shard."""

from __future__ import annotations

from collections.abc import Callable

from litestar.enums import ScopeType
from litestar.types import ASGIApp, Receive, Scope, Send

from ..domain.errors import Unavailable
from .forwarding import refuse

_ABOUT_THE_PROCESS = frozenset({"/healthz", "/metrics"})


class WhileHolding:
    """Answers requests that arrive while the lease of the shard holds, and refuses others.

    It is looked at after a request has arrived: a process that stood still finds out before it answers anything, and
    whatever was acknowledged elsewhere meanwhile was acknowledged after the request came.
    """

    def __init__(self, app: ASGIApp, holds: Callable[[], bool]):
        self._app = app
        self._holds = holds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP or self._holds() or scope["path"] in _ABOUT_THE_PROCESS:
            await self._app(scope, receive, send)
            return
        await refuse(Unavailable("this node cannot reach the cluster's database: send this again"), scope, send)

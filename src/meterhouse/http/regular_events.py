"""The ingest fast path: small regular requests are answered without routing, which would be most of their cost."""

from __future__ import annotations

import re
from typing import cast

from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Receive, Scope, Send

from ..services.ingest import Body
from .authentication import Authentication
from .binary_mode import BINARY_MODE
from .bodies import SMALL_BODY_BYTES
from .events import MEDIA_TYPES, RETRY_AFTER_S, IngestEndpoint
from .slow_bodies import TooSlow

_PATH = "/v1/events"
_QUERY = re.compile(rb"namespace=([a-z0-9_-]+)")
_LINES = {name.encode(): lines for name, lines in MEDIA_TYPES.items()}
_KNOWN_HEADERS = frozenset({b"authorization", b"content-type", b"content-length"})
_ODD_HEADERS = frozenset({b"content-encoding", b"transfer-encoding", b"expect", b"origin"})


class IngestFastPath:
    """Answers the operator's small regular requests exactly as the route would. All other requests, and all failures,
    go through the normal route: repeating a request is safe."""

    def __init__(self, app: ASGIApp, endpoint: IngestEndpoint, authentication: Authentication, max_body_bytes: int):
        self._app = app
        self._most_bytes = min(SMALL_BODY_BYTES, max_body_bytes)
        self._endpoint = endpoint
        self._authentication = authentication

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        regular = None
        if scope["type"] == ScopeType.HTTP and scope["path"] == _PATH and scope["method"] == "POST":
            regular = self._regular(scope)
        if regular is None:
            await self._app(scope, receive, send)
            return
        namespace, lines, size = regular
        received: list[HTTPReceiveMessage] = []
        try:
            body = await whole_body(receive, size, received)
            pending = await self._endpoint.submit(Body(namespace, body, lines, None))
            status, answer = await self._endpoint.report(namespace, pending)
        except TooSlow:
            raise
        except Exception:  # noqa: BLE001 - the route words every failure
            await self._app(scope, again(received, receive), send)
            return
        scope["path_template"] = _PATH
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        if status == 503:
            headers.append((b"retry-after", RETRY_AFTER_S.encode()))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": answer, "more_body": False})

    def _regular(self, scope: HTTPScope) -> tuple[str, bool, int] | None:
        """The namespace, whether there is an event on each line, and how long the body is."""
        known: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _ODD_HEADERS or name in known or name.startswith(BINARY_MODE):
                return None
            if name in _KNOWN_HEADERS:
                known[name] = value
        query = _QUERY.fullmatch(scope["query_string"])
        lines = _LINES.get(known.get(b"content-type", b"application/json"))
        size = known.get(b"content-length", b"")
        if query is None or lines is None or not size.isdigit() or int(size) > self._most_bytes:
            return None
        namespace = query[1].decode()
        if not self._authentication.may_ingest(known.get(b"authorization", b""), scope, namespace):
            return None
        return namespace, lines, int(size)


async def whole_body(receive: Receive, size: int, received: list[HTTPReceiveMessage]) -> bytes:
    """The body, as soon as all of it is there, with the messages that it came in. Raises `ValueError` when another
    length was announced, or the client has hung up."""
    body = b""
    while True:
        message = cast("HTTPReceiveMessage", await receive())
        received.append(message)
        if message["type"] != "http.request":
            raise ValueError(message["type"])
        body += message["body"]
        if len(body) == size:
            return body
        if len(body) > size or not message["more_body"]:
            raise ValueError(f"{len(body)} bytes of {size}")


def again(received: list[HTTPReceiveMessage], receive: Receive) -> Receive:
    """Receives what was received already, and then the rest."""
    messages = iter(received)

    async def receive_again() -> HTTPReceiveMessage:
        return next(messages, None) or cast("HTTPReceiveMessage", await receive())

    return receive_again

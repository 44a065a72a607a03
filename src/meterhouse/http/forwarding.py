"""Handing a request on to the shard whose organization it is about.

Any process takes any request. It runs until it asks for something that lives in another shard, which raises `Elsewhere`
before anything is changed; then the whole request goes there as it came, and what that process answers is answered.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import cast

from cachetools import LRUCache
from litestar import Response
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPReceiveMessage, HTTPScope, Message, Receive, Scope, Send

from ..cluster.peers import Peers
from ..domain.errors import Unavailable
from ..domain.shards import Elsewhere
from .problems import PROBLEM_JSON, encode_problem, problem
from .request import HttpRequest

CLIENT = b"x-meterhouse-client"
REQUEST_ID = b"x-meterhouse-request-id"
PATH = "x-meterhouse-path"
ORGANIZATION = "x-meterhouse-organization"
_OURS = b"x-meterhouse-"
_OF_A_CONNECTION = frozenset(
    b"connection content-length expect host keep-alive te trailer transfer-encoding upgrade".split()
)
_MOST_ROUTES = 10_000


def note_elsewhere(request: HttpRequest, elsewhere: Elsewhere) -> Response[bytes]:
    """Notes in the request where it has to go. The response is sent only where it came from another process, which took
    this one for the shard's."""
    request.scope["state"]["elsewhere"] = elsewhere.shard
    return problem(request, 503, Unavailable.code, f"{elsewhere}, and not here: send this again")


class Forwarding:
    """Hands on what lives in another shard. A GET whose like was handed on before is handed on at once."""

    def __init__(self, app: ASGIApp, peers: Peers, key: Callable[[HTTPScope], bytes]):
        """`key` stands for all of a GET request that a route or a contract can see, but for its cookies."""
        self._app = app
        self._peers = peers
        self._key = key
        self._shards: LRUCache[tuple[bytes, ...], int] = LRUCache(_MOST_ROUTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        key = None
        if scope["method"] == "GET":
            cookies = [text for name, text in scope["headers"] if name == b"cookie"]
            key = self._key(scope), *cookies
        shard = self._shards.get(key) if key is not None else None
        received: list[HTTPReceiveMessage] = []
        if shard is None:
            shard = await self._run(scope, receive, send, received)
            if shard is None:
                return
            if key is not None:
                self._shards[key] = shard
        body = b"".join([piece async for piece in _body(received, receive)])
        await self._hand_on(scope, body, send, shard)

    async def _run(
        self, scope: HTTPScope, receive: Receive, send: Send, received: list[HTTPReceiveMessage]
    ) -> int | None:
        """Runs a request here; where it has to go, when it is about another shard: then nothing was sent."""

        async def receive_and_keep() -> HTTPReceiveMessage:
            message = cast("HTTPReceiveMessage", await receive())
            received.append(message)
            return message

        async def send_unless_elsewhere(message: Message) -> None:
            if "elsewhere" not in scope["state"]:
                await send(message)

        try:
            await self._app(scope, receive_and_keep, send_unless_elsewhere)
        except Elsewhere as elsewhere:
            return elsewhere.shard
        shard: int | None = scope["state"].get("elsewhere")
        return shard

    async def _hand_on(self, scope: HTTPScope, body: bytes, send: Send, shard: int) -> None:
        raw_path = scope.get("raw_path") or scope["path"].encode()
        target = raw_path.partition(b"?")[0] + (b"?" + scope["query_string"] if scope["query_string"] else b"")
        begun = False
        try:
            async with self._peers.request(
                shard, scope["method"], target.decode("latin-1"), _handed_on(scope), body
            ) as response:
                scope["path_template"] = response.headers.get(PATH, "unknown")
                if organization := response.headers.get(ORGANIZATION):
                    scope["state"]["organization"] = organization
                headers = [
                    (name.lower(), text)
                    for name, text in response.raw_headers
                    if not name.lower().startswith(_OURS)
                    and (name.lower() == b"content-length" or name.lower() not in _OF_A_CONNECTION)
                ]
                begun = True
                await send({"type": "http.response.start", "status": response.status, "headers": headers})
                async for piece in response.content.iter_any():
                    await send({"type": "http.response.body", "body": piece, "more_body": True})
                await send({"type": "http.response.body", "body": b"", "more_body": False})
        except Unavailable as failure:
            if begun:
                raise  # what was sent so far breaks off, which no client takes for its end
            await refuse(failure, scope, send)


async def _body(received: list[HTTPReceiveMessage], receive: Receive) -> AsyncIterator[bytes]:
    more = True
    for message in received:
        more = message["type"] == "http.request" and message["more_body"]
        yield message["body"] if message["type"] == "http.request" else b""
    while more:
        message = cast("HTTPReceiveMessage", await receive())
        more = message["type"] == "http.request" and message["more_body"]
        yield message["body"] if message["type"] == "http.request" else b""


def _handed_on(scope: HTTPScope) -> list[tuple[str, str]]:
    """The headers of a request, without those that are of its connection, or named like ours."""
    client = scope.get("client")
    kept = [pair for pair in scope["headers"] if pair[0] not in _OF_A_CONNECTION and not pair[0].startswith(_OURS)]
    kept += [(CLIENT, (client[0] if client else "").encode()), (REQUEST_ID, scope["state"]["request_id"].encode())]
    return [(name.decode("latin-1"), text.decode("latin-1")) for name, text in kept]


async def refuse(failure: Unavailable, scope: HTTPScope, send: Send) -> None:
    """Answers that a request is to be repeated."""
    content = encode_problem(503, failure.code, str(failure), scope.get("state", {}).get("request_id", ""))
    headers = [
        (b"content-type", PROBLEM_JSON.encode()),
        (b"content-length", str(len(content)).encode()),
        (b"retry-after", str(failure.retry_after_s).encode()),
    ]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})

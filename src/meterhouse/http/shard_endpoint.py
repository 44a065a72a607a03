"""What the other shards' processes ask this one: calls, and requests of clients that they hand on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from urllib.parse import unquote

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send

from ..cluster.calls import answer_call, encode_error
from ..cluster.outbox import INGEST, decode_bodies, encode_taken
from ..cluster.peers import CALL, CREDENTIAL, PARAMETER, Peers
from ..domain.errors import MeterhouseError
from ..domain.export import ExportForm, Selection
from ..ports.chunks import Chunks
from ..ports.event_store import EventStore
from ..services.ingest import Body, Ingest, Report
from .attempts import RIGHT_KEY, WRONG_KEY
from .bodies import SMALL_BODY_BYTES
from .events import CompletionBridge
from .forwarding import CLIENT, ORGANIZATION, PATH, REQUEST_ID
from .streams import closed_with_request

_log = structlog.get_logger(__name__)


class ShardEndpoint:
    """Answers processes of this server alone. Requests of clients go to the application below request ids, logs and
    metrics, which the process that took them sees to."""

    def __init__(
        self,
        app: ASGIApp,
        peers: Peers,
        *,
        store: EventStore,
        ingest: Ingest,
        streams: Mapping[str, Callable[[], Chunks]],
        remember: Callable[[str, str], None],
    ):
        """`streams` are long answers, by the names of their calls. `remember` is told what the others know of keys."""
        self._remember = remember
        self._app = app
        self._peers = peers
        self._store = store
        self._ingest = ingest
        self._streams = streams
        self._bridge = CompletionBridge()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        headers = dict(scope["headers"])
        if not self._peers.knows(headers.get(CREDENTIAL.encode(), b"")):
            await _answer(send, 403, b"")
            return
        name = headers.get(CALL.encode(), b"").decode()
        if not name:
            await self._run(scope, headers, receive, send)
            return
        prefix = PARAMETER.encode()
        parameters = {
            key.removeprefix(prefix).decode(): unquote(text.decode())
            for key, text in headers.items()
            if key.startswith(prefix)
        }
        begun = False

        async def send_noting(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._answer_call(name, parameters, receive, send_noting)
        except Exception as failure:
            if begun:
                raise  # the answer breaks off, which nobody takes for its end
            if isinstance(failure, MeterhouseError):
                await _answer(send, 409, encode_error(failure))
                return
            _log.error("a call of another shard failed", call=name, exc_info=failure)
            await _answer(send, 500, b"")

    async def _run(self, scope: HTTPScope, headers: Mapping[bytes, bytes], receive: Receive, send: Send) -> None:
        """Answers a client's request, as if it had come here."""
        scope["client"] = (headers.get(CLIENT, b"").decode(), 0)
        request_id = headers.get(REQUEST_ID, b"").decode()
        scope.setdefault("state", {})["request_id"] = request_id
        structlog.contextvars.bind_contextvars(request_id=request_id)

        async def send_with_path(message: Message) -> None:
            if message["type"] == "http.response.start":
                told = [(PATH.encode(), str(scope.get("path_template") or "unknown").encode())]
                if organization := scope["state"].get("organization"):
                    told.append((ORGANIZATION.encode(), organization.encode("ascii", "backslashreplace")))
                message["headers"] = [*message["headers"], *told]
            await send(message)

        await self._app(scope, receive, send_with_path)

    async def _answer_call(self, name: str, parameters: Mapping[str, str], receive: Receive, send: Send) -> None:
        content = await _body(receive)
        if name == INGEST:
            pending = [await self._submitted(body) for body in decode_bodies(content)]
            await _answer(send, 200, encode_taken(await asyncio.gather(*pending, return_exceptions=True)))
        elif name == "export":
            selection = Selection(parameters.get("namespace"), parameters.get("organization"))
            await _stream(send, self._store.export(selection, ExportForm(parameters["form"])))
        elif name in (WRONG_KEY, RIGHT_KEY):
            self._remember(name, parameters["of"])
            await _answer(send, 200, b"")
        elif name in self._streams:
            await _stream(send, self._streams[name]())
        else:
            await _answer(send, 200, await asyncio.to_thread(answer_call, self._store, name, content))

    async def _submitted(self, body: Body) -> asyncio.Future[Report]:
        """What will become of a request's events."""
        waiter, done = self._bridge.expect()
        try:
            if len(body.content) <= SMALL_BODY_BYTES:
                self._ingest.submit_body(body, done)
            else:
                await asyncio.to_thread(self._ingest.submit_body, body, done)
        except MeterhouseError as refused:
            waiter.set_exception(refused)
        return waiter


async def _body(receive: Receive) -> bytes:
    pieces = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            raise ConnectionError("a process of this server has hung up")
        pieces.append(message["body"])
        if not message["more_body"]:
            return b"".join(pieces)


async def _answer(send: Send, status: int, content: bytes) -> None:
    headers = [(b"content-type", b"application/vnd.msgpack"), (b"content-length", str(len(content)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})


async def _stream(send: Send, chunks: Chunks) -> None:
    """What it raises before its first piece is answered like any other error."""
    pieces = closed_with_request(chunks)
    piece = await asyncio.to_thread(next, pieces, None)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while piece is not None:
        await send({"type": "http.response.body", "body": piece, "more_body": True})
        piece = await asyncio.to_thread(next, pieces, None)
    await send({"type": "http.response.body", "body": b"", "more_body": False})

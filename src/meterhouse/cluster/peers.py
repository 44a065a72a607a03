"""The other shards' processes, and how they are asked: HTTP with a credential, over a socket of the machine or between
machines."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

import aiohttp
import structlog

from ..domain.errors import Unavailable
from ..domain.shards import Seat
from ..ports.chunks import Chunks
from .addresses import SOCKET, Addresses
from .calls import CALLS, decode_error

CREDENTIAL = "x-meterhouse-node"
"""The header with what only processes of this server know."""
CALL = "x-meterhouse-call"
"""The header that names a call; without it a request is a client's, handed on."""
PARAMETER = "x-meterhouse-parameter-"
"""What the names of headers with parameters of a call begin with; their texts are percent-encoded."""
_ANSWERS_WITHIN_S = 60
"""What is asked of a store."""
_HANDED_ON_WITHIN_S = 900
"""A request of a client: an erasure may take minutes."""
_CONNECTS_WITHIN_S = 2
_ASKS_AGAIN_AFTER_S = 0.1
_MOST_CONNECTIONS = 256
_CHUNK_BYTES = 1 << 20

_log = structlog.get_logger(__name__)


class Peers:
    """The processes of all other shards. Calls may be made from any thread but the event loop's; `request` on it."""

    def __init__(self, addresses: Addresses, seat: Seat, credential: bytes):
        """`seat` is that of this process."""
        self.own = seat.number
        self.others = tuple(shard for shard in range(seat.count) if shard != seat.number)
        self._addresses = addresses
        self._credential = credential.hex()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._silent: set[int] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._sessions: dict[int, tuple[str, aiohttp.ClientSession]] = {}
        """By shard, with the address that each is for."""

    def open(self) -> None:
        """Begins, on the event loop that all requests will be made on."""
        loop = self._loop = asyncio.get_running_loop()

        def moved(shard: int) -> None:
            loop.call_soon_threadsafe(self._moved, shard)

        self._addresses.watch(moved)

    async def close(self) -> None:
        """Ends all connections."""
        await asyncio.to_thread(self._addresses.close)
        for _, session in self._sessions.values():
            await session.close()

    def knows(self, credential: bytes) -> bool:
        """Whether a request comes from a process of this server."""
        return hmac.compare_digest(credential, self._credential.encode())

    @asynccontextmanager
    async def request(
        self, shard: int, method: str, target: str, headers: Sequence[tuple[str, str]], body: bytes
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A request to a shard's process. Raises `Unavailable`.

        While no process has the shard, it waits, as long as that may take to change hands.
        """
        sent = [*headers, (CREDENTIAL, self._credential)]
        patience_s = _ANSWERS_WITHIN_S if any(name == CALL for name, _ in headers) else _HANDED_ON_WITHIN_S
        timeout = aiohttp.ClientTimeout(total=None, connect=_CONNECTS_WITHIN_S, sock_read=patience_s)
        try:
            async with await self._sent(shard, method, target, data=body, headers=sent, timeout=timeout) as response:
                self._silent.discard(shard)
                yield response
        except (aiohttp.ClientError, TimeoutError, ConnectionError) as failure:
            if shard not in self._silent:
                self._silent.add(shard)
                _log.warning("a shard does not answer", other=shard, reason=repr(failure))
            raise Unavailable(f"shard {shard} does not answer at the moment: send this again") from failure

    async def _sent(self, shard: int, method: str, target: str, **request: Any) -> aiohttp.ClientResponse:
        """Sends a request to whichever process has the shard, as soon as there is one."""
        loop = asyncio.get_running_loop()
        until = loop.time() + self._addresses.patience_s
        while True:
            session, url = self._session(shard)
            try:
                if session is None:
                    raise ConnectionError("no process has this shard")
                return await session.request(method, url + target, allow_redirects=False, **request)
            except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ConnectionError):
                if loop.time() >= until:
                    raise
            await asyncio.sleep(_ASKS_AGAIN_AFTER_S)

    def _session(self, shard: int) -> tuple[aiohttp.ClientSession | None, str]:
        """Connections to a shard's process, and how its URLs begin."""
        address = self._addresses.of(shard)
        known, session = self._sessions.get(shard, (None, None))
        if address is None:
            return None, ""
        is_socket = address.startswith(SOCKET)
        if session is None or known != address:
            self._moved(shard)
            connector = (
                aiohttp.UnixConnector(address.removeprefix(SOCKET), limit=_MOST_CONNECTIONS)
                if is_socket
                else aiohttp.TCPConnector(limit=_MOST_CONNECTIONS)
            )
            session = aiohttp.ClientSession(
                connector=connector, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
            )
            self._sessions[shard] = address, session
        return session, "http://shard" if is_socket else address

    def _moved(self, shard: int) -> None:
        """Ends the connections to the process that had a shard: it may never answer."""
        if (known := self._sessions.pop(shard, None)) is not None:
            self._spawn(known[1].close())

    async def ask(self, shard: int, name: str, body: bytes, parameters: Mapping[str, str] | None = None) -> bytes:
        """What a shard answers to a call, as it is sent. Raises what the shard raised, and `Unavailable`."""
        async with self._answering(shard, name, body, parameters or {}) as response:
            return await response.read()

    @asynccontextmanager
    async def _answering(
        self, shard: int, name: str, body: bytes, parameters: Mapping[str, str]
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A call that a shard answers. Raises what the shard raised, and `Unavailable`."""
        headers = [(CALL, name), *((PARAMETER + key, quote(text)) for key, text in parameters.items())]
        async with self.request(shard, "POST", "/", headers, body) as response:
            if response.status == HTTPStatus.CONFLICT:
                raise decode_error(await response.read())
            if response.status != HTTPStatus.OK:
                raise Unavailable(f"shard {shard} cannot answer this ({response.status}): its log says why")
            yield response

    def begin(self, shard: int, name: str, body: bytes, parameters: Mapping[str, str]) -> Future[bytes]:
        """The same as `ask`, of any thread: what is answered, or raised, will be in the future."""
        assert self._loop is not None  # nobody asks before there is a server
        return asyncio.run_coroutine_threadsafe(self.ask(shard, name, body, parameters), self._loop)

    def tell(self, news: str, of: str) -> None:
        """Tells the others something that they are to remember; waits for nothing. One that does not answer is not
        told."""
        for shard in self.others:
            self.begin(shard, news, b"", {"of": of})

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begins something on the event loop, from any thread. It must not raise."""
        assert self._loop is not None  # nobody asks before there is a server
        self._loop.call_soon_threadsafe(lambda: self._spawn(work()))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)  # which nobody else holds
        task.add_done_callback(self._tasks.discard)

    def call(self, shard: int, name: str, *arguments: Any) -> Any:
        """What a method of a shard's store answers; see `calls.CALLS`. Waits for it."""
        return self._wait(self._called(shard, name, arguments))

    def call_all(self, name: str, *arguments: Any) -> dict[int, Any]:
        """The same of every other shard, asked at the same time."""

        async def gathered() -> list[Any]:
            return await asyncio.gather(*(self._called(shard, name, arguments) for shard in self.others))

        return dict(zip(self.others, self._wait(gathered()), strict=True))

    def stream(self, shard: int, name: str, parameters: Mapping[str, str]) -> Chunks:
        """Something long that a shard answers. Raises `Unavailable`, also after it has begun: the pieces so far are
        worthless then."""
        pieces = self._pieces(shard, name, parameters)
        try:
            while (piece := self._wait(anext(pieces, None))) is not None:
                yield piece
        finally:
            self._wait(pieces.aclose())

    def stream_all(self, name: str, own: Callable[[], Chunks]) -> Iterator[Chunks]:
        """What every shard answers, in their order, each asked for when it is its turn; `own` makes that of this
        process."""
        for shard in sorted([self.own, *self.others]):
            yield own() if shard == self.own else self.stream(shard, name, {})

    async def _called(self, shard: int, name: str, arguments: tuple[Any, ...]) -> Any:
        call = CALLS[name]
        return call.decode_answer(await self.ask(shard, name, call.encode_arguments(arguments)))

    async def _pieces(self, shard: int, name: str, parameters: Mapping[str, str]) -> AsyncGenerator[bytes]:
        async with self._answering(shard, name, b"", parameters) as response:
            async for piece in response.content.iter_chunked(_CHUNK_BYTES):
                yield piece

    def _wait(self, coroutine: Any) -> Any:
        assert self._loop is not None  # nobody asks before there is a server
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()

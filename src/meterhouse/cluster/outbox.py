"""Events on their way to another shard. Requests that arrive while calls are under way share the next one: a call costs
several times what a small request does."""

from __future__ import annotations

from collections import deque
from threading import Lock

import msgspec

from ..domain.errors import MeterhouseError, Overloaded, Unavailable
from ..services.ingest import Body, Done, Report
from .calls import decode_error, encode_error
from .peers import Peers

_CALLS_AT_ONCE = 2
"""While the shard stores what one brought, the next one is on its way."""
_MOST_BODIES = 256
_MOST_BYTES = 4 * 1024 * 1024
_MOST_WAITING_BYTES = 64 * 1024 * 1024

INGEST = "ingest"
"""The name of the call."""


class Taken(msgspec.Struct, omit_defaults=True):
    """What became of one request: its report, or the error that it raised."""

    report: Report | None = None
    error: bytes | None = None

    @classmethod
    def of(cls, result: Report | BaseException) -> Taken:
        """As it is answered to another process."""
        if isinstance(result, Report):
            return cls(report=result)
        known = result if isinstance(result, MeterhouseError) else Unavailable("a shard failed: its log says why")
        return cls(error=encode_error(known))

    def result(self) -> Report | BaseException:
        """As `Ingest` tells it."""
        return self.report if self.report is not None else decode_error(self.error or b"")


_bodies = msgspec.msgpack.Decoder(list[Body])
_taken = msgspec.msgpack.Decoder(list[Taken])

decode_bodies = _bodies.decode
"""The requests of a call."""


class Outbox:
    """Sends requests to a shard, and tells each what became of it. May be used from any thread."""

    def __init__(self, peers: Peers, shard: int):
        self._peers = peers
        self._shard = shard
        self._waiting: deque[tuple[Body, Done]] = deque()
        self._waiting_bytes = 0
        self._calls = 0
        self._lock = Lock()  # guards all three

    def put(self, body: Body, done: Done) -> None:
        """Sends a request; `done` is called with what became of it, or with `Unavailable`. Raises `Overloaded` when too
        much waits already: the shard may be changing hands."""
        with self._lock:
            if self._waiting and self._waiting_bytes + len(body.content) > _MOST_WAITING_BYTES:
                raise Overloaded(f"too much is waiting for shard {self._shard}; send the events again")
            self._waiting.append((body, done))
            self._waiting_bytes += len(body.content)
            if self._calls >= _CALLS_AT_ONCE:
                return
            self._calls += 1
        self._peers.start(self._send)

    async def _send(self) -> None:
        while together := self._next():
            content = msgspec.msgpack.encode([body for body, _ in together])
            results: list[Report | BaseException]
            try:
                answer = await self._peers.ask(self._shard, INGEST, content)
                results = [each.result() for each in _taken.decode(answer)]
            except Exception as failure:  # noqa: BLE001 - whatever it is, it belongs to those who wait
                results = [failure] * len(together)
            for (_, done), result in zip(together, results, strict=True):
                done(result)

    def _next(self) -> list[tuple[Body, Done]]:
        """Those that share the next call; none when nobody waits: this sender ends then."""
        together: list[tuple[Body, Done]] = []
        size = 0
        with self._lock:
            while self._waiting and len(together) < _MOST_BODIES:
                size += len(self._waiting[0][0].content)
                if together and size > _MOST_BYTES:
                    break
                together.append(self._waiting.popleft())
                self._waiting_bytes -= len(together[-1][0].content)
            if not together:
                self._calls -= 1
        return together


def encode_taken(results: list[Report | BaseException]) -> bytes:
    """What became of the requests of a call, in their order."""
    return msgspec.msgpack.encode([Taken.of(result) for result in results])

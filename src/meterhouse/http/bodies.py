"""Bodies: reading them within their limits, compressed ones too, and writing JSON with exact numbers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from decimal import Decimal

import msgspec
from litestar import Response

from ..domain.errors import Overloaded
from ..domain.quantity import MAX_DECIMAL_PLACES, Plain, json_number, plain, round_half_even
from .decompression import decompressed
from .problems import TooLarge
from .request import HttpRequest

SMALL_BODY_BYTES = 16_384
"""Worked on where it arrives, in well under a millisecond; handing it to another thread would take longer."""


class Bodies:
    """Reads bodies, of which only so much is held at once: as received, decompressed, and until they are decoded."""

    def __init__(self, max_body_bytes: int, decoding_bytes: int):
        """`max_body_bytes` bounds one body, compressed or not, and `decoding_bytes` all of them together."""
        self.max_body_bytes = max_body_bytes
        self._decoding_bytes = decoding_bytes
        self._held = 0
        self._changing = threading.Lock()

    @asynccontextmanager
    async def reading(self, request: HttpRequest) -> AsyncIterator[bytes]:
        """What `decoding` gives of the body of a request."""
        async with self.decoding(request.stream(), request.headers.get("content-encoding", "identity")) as body:
            yield body

    @asynccontextmanager
    async def decoding(self, stream: AsyncIterator[bytes], coding: str) -> AsyncIterator[bytes]:
        """A body, decompressed; what it takes is given back in the end. Raises `TooLarge`, and `Overloaded` when too
        much is held already: one that finds nobody else is taken, whatever its size."""
        share = _Share(self)
        try:
            body = await self._received(stream, share)
            coding = coding.strip().lower()
            if coding == "identity":
                yield body
            elif len(body) <= SMALL_BODY_BYTES // 8:
                yield self._decompressed(body, coding, share)
            else:
                yield await asyncio.to_thread(self._decompressed, body, coding, share)
        finally:
            share.give_back()

    @staticmethod
    async def _received(stream: AsyncIterator[bytes], share: _Share) -> bytes:
        pieces: list[bytes] = []
        try:
            async for piece in stream:
                share.take(len(piece))
                pieces.append(piece)
        except Overloaded:
            # A client that is still sending would not see the answer: the rest is received and forgotten.
            pieces.clear()
            async for _ in stream:
                pass
            raise
        return b"".join(pieces)

    def _decompressed(self, body: bytes, coding: str, share: _Share) -> bytes:
        return b"".join(self._bounded(decompressed(body, coding), share))

    def _bounded(self, pieces: Iterator[bytes], share: _Share) -> Iterator[bytes]:
        size = 0
        for piece in pieces:
            size += len(piece)
            if size > self.max_body_bytes:
                raise TooLarge(
                    f"the decompressed body is larger than {self.max_body_bytes} bytes; send fewer events at a time"
                )
            share.take(len(piece))
            yield piece

    def hold(self, size: int, own: int) -> bool:
        """Counts bytes more, or less, for a body that holds `own` already. When that is too much, none of them are
        held any more: so that of several bodies that are read side by side one always comes through. A small body is
        never too much: whoever sends large ones slowly keeps out large ones only."""
        with self._changing:
            too_much = self._held + size > self._decoding_bytes and own + size > SMALL_BODY_BYTES
            if size > 0 and too_much and self._held > own:
                self._held -= own
                return False
            self._held += size
            return True


class _Share:
    """What one body holds."""

    def __init__(self, bodies: Bodies):
        self._bodies = bodies
        self._taken = 0

    def take(self, size: int) -> None:
        """Raises `Overloaded` when it is too much."""
        if not self._bodies.hold(size, self._taken):
            self._taken = 0
            raise Overloaded("too many large bodies are being read; send this one again")
        self._taken += size

    def give_back(self) -> None:
        self._bodies.hold(-self._taken, self._taken)
        self._taken = 0


encode_body = msgspec.json.Encoder(decimal_format="number", enc_hook=json_number).encode


def json_response(body: object) -> Response[bytes]:
    """Decimals as JSON numbers with exactly their digits."""
    return Response(encode_body(body), media_type="application/json")


def exact(value: Decimal | None) -> Plain | None:
    """A number as it is answered; None where there is none."""
    return None if value is None else exactly(value)


def exactly(value: Decimal) -> Plain:
    """A number as it is answered, without exponent. Only an average, and what a pool's rates make of usage, can have
    more places than a quantity."""
    return plain(round_half_even(value, MAX_DECIMAL_PLACES))

"""Content codings: what comes out is bounded while it comes out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Protocol

import zstandard
from litestar.exceptions import ClientException

from .problems import UnsupportedEncoding

_CHUNK_BYTES = 1 << 16
_GZIP = 16 + zlib.MAX_WBITS
_MOST_STREAMS = 10_000
"""Most parts of a body: each costs some time, however little it holds."""
_ZSTD_BYTES_AT_ONCE = 256
"""Of these come no more than 8 MiB: the smallest block is 4 bytes, and none unfolds to more than 128 KiB."""
_ZSTD_WINDOW_BYTES = 1 << 23
"""What RFC 9659 has every reader of the coding take, and no more."""


class _Zlib(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    @property
    def unconsumed_tail(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def decompressed(body: bytes, coding: str) -> Iterator[bytes]:
    """The content piece by piece. Raises `UnsupportedEncoding`, and `ClientException` for what is of another coding or
    cut short."""
    decompress = _CODINGS.get(coding)
    if decompress is None:
        known = ", ".join(_CODINGS)
        raise UnsupportedEncoding(f"content-encoding {coding[:40]!r} is not supported; use one of {known}, or none")
    try:
        yield from decompress(body)
    except (zlib.error, zstandard.ZstdError) as wrong:
        raise ClientException(f"the body is not {coding}: {wrong}") from None


def _gzip(body: bytes) -> Iterator[bytes]:
    """All members: a gzip stream may have several (RFC 1952, 2.2), and zeros behind them."""
    return _streams(body, lambda: zlib.decompressobj(_GZIP), padding=b"\0")


def _deflate(body: bytes) -> Iterator[bytes]:
    """The zlib format, as RFC 9110 has it; or without its two bytes of header, as some clients send it."""
    wrapped = len(body) > 1 and body[0] & 15 == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
    wbits = zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS
    return _streams(body, lambda: zlib.decompressobj(wbits), most=1)


def _streams(
    body: bytes, begin: Callable[[], _Zlib], *, most: int = _MOST_STREAMS, padding: bytes = b""
) -> Iterator[bytes]:
    """What one compressed stream after the other holds, but for `padding` between them. Little is handed to each at a
    time, because what one leaves over is copied."""
    stream, count, fresh = begin(), 1, True
    for place in range(0, len(body), _CHUNK_BYTES):
        left = body[place : place + _CHUNK_BYTES]
        while left := left.lstrip(padding) if fresh else left:
            if stream.eof:
                stream, count = begin(), count + 1
                if count > most:
                    raise ClientException("the compressed body has something behind its end, or too many parts")
            yield stream.decompress(left, _CHUNK_BYTES)
            left = stream.unused_data if stream.eof else stream.unconsumed_tail
            fresh = stream.eof
    while not stream.eof:
        piece = stream.decompress(b"", _CHUNK_BYTES)
        if not piece:
            raise ClientException("the compressed body is cut short")
        yield piece


def _zstd(body: bytes) -> Iterator[bytes]:
    """All frames."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    stream, count = decompressor.decompressobj(), 1
    for place in range(0, len(body), _ZSTD_BYTES_AT_ONCE):
        left = body[place : place + _ZSTD_BYTES_AT_ONCE]
        while left:
            if stream.eof:
                stream, count = decompressor.decompressobj(), count + 1
                if count > _MOST_STREAMS:
                    raise ClientException("the compressed body has too many parts")
            yield stream.decompress(left)
            left = stream.unused_data
    if not stream.eof:
        raise ClientException("the compressed body is cut short")


_CODINGS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}

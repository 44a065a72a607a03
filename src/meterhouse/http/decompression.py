"""Content codings: what comes out is bounded while it comes out."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Generator, Iterator

import zstandard
from litestar.exceptions import ClientException

from .problems import UnsupportedEncoding

_CHUNK_BYTES = 1 << 16
_GZIP = 16 + zlib.MAX_WBITS
_ZSTD_BYTES_AT_ONCE = 256
"""Of these come no more than 8 MiB: the smallest block is 4 bytes, and none unfolds to more than 128 KiB."""
_ZSTD_WINDOW_BYTES = 1 << 23
"""What RFC 9659 has every reader of the coding take, and no more."""


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
    while body.strip(b"\0"):
        body = yield from _member(body, _GZIP)


def _deflate(body: bytes) -> Iterator[bytes]:
    """The zlib format, as RFC 9110 has it; or without its two bytes of header, as some clients send it."""
    wrapped = len(body) > 1 and body[0] & 15 == zlib.DEFLATED and (body[0] << 8 | body[1]) % 31 == 0
    if (yield from _member(body, zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)):
        raise ClientException("the deflate body has something behind its end")


def _member(body: bytes, wbits: int) -> Generator[bytes, None, bytes]:
    """One compressed stream; returns what is behind it."""
    stream = zlib.decompressobj(wbits)
    left = body
    while not stream.eof:
        piece = stream.decompress(left, _CHUNK_BYTES)
        left = stream.unconsumed_tail
        if not piece and not left and not stream.eof:
            raise ClientException("the compressed body is cut short")
        yield piece
    return stream.unused_data


def _zstd(body: bytes) -> Iterator[bytes]:
    decompressor = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
    stream = decompressor.decompressobj()
    for begin in range(0, len(body), _ZSTD_BYTES_AT_ONCE):
        piece = body[begin : begin + _ZSTD_BYTES_AT_ONCE]
        while piece:
            yield stream.decompress(piece)
            piece = stream.unused_data
            if stream.eof:
                stream = decompressor.decompressobj()
                fresh = not piece
            else:
                fresh = False
    if body and not fresh:
        raise ClientException("the compressed body is cut short")


_CODINGS: dict[str, Callable[[bytes], Iterator[bytes]]] = {
    "gzip": _gzip,
    "x-gzip": _gzip,
    "deflate": _deflate,
    "zstd": _zstd,
}

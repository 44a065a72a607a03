"""Bodies: reading them within their limits, compressed ones too, and writing JSON with exact numbers."""

from __future__ import annotations

import zlib
from decimal import Decimal

import msgspec
from litestar import Response
from litestar.exceptions import ClientException, HTTPException

from ..domain.quantity import MAX_DECIMAL_PLACES, json_number, plain, round_half_even
from .request import HttpRequest

_GZIP = 16 + zlib.MAX_WBITS

encode_body = msgspec.json.Encoder(decimal_format="number", enc_hook=json_number).encode


class TooLarge(HTTPException):
    """The body is larger than the server takes."""

    status_code = 413


class UnsupportedEncoding(HTTPException):
    """A content encoding or media type that is not spoken here."""

    status_code = 415


async def read_body(request: HttpRequest, limit_bytes: int) -> bytes:
    """The body, decompressed. `limit_bytes` holds for what comes out: a gzip bomb is stopped while it unfolds."""
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding == "identity":
        return body
    if encoding != "gzip":
        raise UnsupportedEncoding(f"content-encoding {encoding[:40]!r} is not supported; use gzip or none")
    gunzip = zlib.decompressobj(_GZIP)
    try:
        plain = gunzip.decompress(body, limit_bytes)
    except zlib.error as wrong:
        raise ClientException(f"the body is not gzip: {wrong}") from None
    if gunzip.unconsumed_tail:
        raise TooLarge(f"the decompressed body is larger than {limit_bytes} bytes; send fewer events at a time")
    if not gunzip.eof or gunzip.unused_data:
        raise ClientException("the gzip body is cut short, or has something behind its end")
    return plain


def json_response(body: object) -> Response[bytes]:
    """Decimals as JSON numbers with exactly their digits."""
    return Response(encode_body(body), media_type="application/json")


def exact(value: Decimal | None) -> Decimal | None:
    """A number as it is answered. Only an average can have more places than a quantity."""
    return None if value is None else plain(round_half_even(value, MAX_DECIMAL_PLACES))

"""The attributes of a CloudEvent that is as it should be, read by compiled code."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, TypeAlias

import msgspec

from .event import MAX_TEXT

_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]


class Envelope(msgspec.Struct, gc=False):
    """A CloudEvent that has all attributes that an event needs; `data` is not read yet. Extension attributes are
    ignored."""

    id: _Text
    source: _Text
    type: _Text
    subject: _Text
    specversion: Literal["1.0"]
    data: msgspec.Raw
    time: str | None = None
    datacontenttype: str | None = None
    data_base64: None = None


_QUOTES = 22
"""Those of the attributes that are always there, and of the name `data`."""
_QUOTES_OF_TEXT = 4
"""Those of the name of an attribute and of its text."""

_one = msgspec.json.Decoder(Envelope)
_many = msgspec.json.Decoder(list[Envelope])

decode_envelope = _one.decode
"""Reads one event. Raises `msgspec.DecodeError`, `RecursionError` or `UnicodeDecodeError` when it is not regular."""


def decode_envelopes(body: bytes, *, lines: bool) -> list[Envelope] | None:
    """All events of a body, when all of them are regular: an object, an array, or (`lines`) one object on each line.

    None says that the body takes a closer look, not that it is wrong.
    """
    try:
        if not lines:
            return _many.decode(body) if body.lstrip()[:1] == b"[" else [_one.decode(body)]
        body = body.strip()
        envelopes = _one.decode_lines(body)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
        return None
    # Each event must be on one line of its own: the decoder also takes two on a line, and one on two.
    newlines = len(envelopes) - 1
    separated = body.count(b"}\n{") == newlines or body.count(b"}\r\n{") == newlines
    return envelopes if separated and body.count(b"\n") == newlines else None


def quotes_around_data(envelopes: Sequence[Envelope]) -> int:
    """How many quotation marks the texts of events have at least, without those of their data."""
    absent = [each.time for each in envelopes].count(None) + [each.datacontenttype for each in envelopes].count(None)
    return (_QUOTES + 2 * _QUOTES_OF_TEXT) * len(envelopes) - _QUOTES_OF_TEXT * absent

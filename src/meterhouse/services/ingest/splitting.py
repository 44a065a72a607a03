"""The events in a request's body, each as JSON text of its own: a bad one never takes its neighbours with it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from io import BytesIO

import msgspec

from ...domain.errors import Invalid

MAX_EVENTS_PER_REQUEST = 50_000

_SURELY_FEW_COMMAS = 10 * MAX_EVENTS_PER_REQUEST
"""With no more commas an array is taken apart at once: its elements, however small, take little memory."""
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_BLANK = b" \t\r\n" + _BYTE_ORDER_MARK
"""What may stand around a JSON text; none of it can be part of one that is sound."""

_batch = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)


def split_events(body: bytes, *, lines: bool) -> list[bytes]:
    """The JSON text of each event in a body: an object, an array of objects, or (`lines`) one object a line. Byte order
    marks are skipped.

    Raises `Invalid` when the body is no JSON at all, or as soon as it has more than `MAX_EVENTS_PER_REQUEST`.
    """
    if lines:
        return _bounded(filter(None, (line.strip(_BLANK) for line in BytesIO(body))))
    if body.startswith(_BYTE_ORDER_MARK):
        body = body.lstrip(_BLANK)
    if body.lstrip()[:1] != b"[":
        return [one_value(body)]
    if body.count(b",") <= _SURELY_FEW_COMMAS:
        try:
            events = [bytes(raw) for raw in _batch.decode(body)]
        except (RecursionError, msgspec.DecodeError):
            pass  # one of them is bad, or the array itself is
        else:
            return events if len(events) <= MAX_EVENTS_PER_REQUEST else _bounded(events)
    return _bounded(_elements(body))


def _bounded(events: Iterable[bytes]) -> list[bytes]:
    taken: list[bytes] = []
    for event in events:
        if len(taken) == MAX_EVENTS_PER_REQUEST:
            raise Invalid(f"too many events in one request; send at most {MAX_EVENTS_PER_REQUEST} at a time")
        taken.append(event)
    return taken


def one_value(body: bytes) -> bytes:
    """The JSON text of a body that holds one value. Raises `Invalid` when it is no JSON, or holds more."""
    try:
        return bytes(_any.decode(body))
    except RecursionError:
        return body  # is refused as an event, with its reason
    except msgspec.DecodeError as wrong:
        raise Invalid(f"the body is not JSON: {wrong}") from None


# A text without an end is taken to the end of the body, and nothing is tried twice: it would take minutes.
_MARKS = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|[\[\]{},]', re.DOTALL)


def _elements(body: bytes) -> Iterator[bytes]:
    """The elements of an array, whatever they are: what is wrong with one of them is said when it is read."""
    depth = begin = 0
    for mark in _MARKS.finditer(body):
        if mark[0] in (b"[", b"{"):
            depth += 1
            begin = mark.end() if depth == 1 else begin
        elif mark[0] in (b"]", b"}"):
            depth -= 1
        if (depth == 1 and mark[0] == b",") or depth == 0:
            element = body[begin : mark.start()].strip()
            if not element:
                raise Invalid("the body is not JSON: an array has a comma with nothing beside it")
            yield element
            begin = mark.end()
        if depth == 0:
            if body[begin:].strip():
                raise Invalid("the body is not JSON: there is something behind the array")
            return
    raise Invalid("the body is not JSON: an array is not closed")

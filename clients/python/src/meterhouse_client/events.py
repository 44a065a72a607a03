"""Events, stamped once: whatever is sent again is the same event."""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

import msgspec

from .errors import InvalidEvent

MAX_TEXT = 512
MAX_DATA_BYTES = 65_536
_RANDOM_AT_ONCE = 4_096
_NS_PER_MS = 1_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class Event(msgspec.Struct, frozen=True):
    """An event in JSON, as it is sent, and what it is known by."""

    id: str
    organization: str
    body: bytes


class _CloudEvent(msgspec.Struct):
    specversion: str
    id: str
    source: str
    type: str
    subject: str
    time: str
    data: msgspec.Raw


class Ids:
    """UUIDs of version 7 (RFC 9562) that grow, whatever the clock does. A forked process has others than its parent."""

    def __init__(self, nanoseconds: Any = time.time_ns):
        """`nanoseconds` tells the time since 1970."""
        self._nanoseconds = nanoseconds
        self._lock = threading.Lock()
        self._last_ms = 0
        self._counter = 0
        self._random = b""

    def new(self) -> str:
        """The next one."""
        with self._lock:
            ms = self._nanoseconds() // _NS_PER_MS
            if ms > self._last_ms:
                self._last_ms, self._counter = ms, 0
            else:  # in the same millisecond, or after the clock went back
                self._counter += 1
                if self._counter > 0xFFF:
                    self._last_ms, self._counter = self._last_ms + 1, 0
            if len(self._random) < 8:
                self._random = os.urandom(_RANDOM_AT_ONCE)
            tail = int.from_bytes(self._random[:8], "big")
            self._random = self._random[8:]
            number = self._last_ms << 80 | 0x7 << 76 | self._counter << 64 | 0x2 << 62 | tail >> 2
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def forget(self) -> None:
        """Throws away random bytes that another process has as well."""
        self._lock = threading.Lock()
        self._random = b""


_encoder = msgspec.json.Encoder(decimal_format="string")
_encode = _encoder.encode


def stamp(
    ids: Ids,
    *,
    source: str,
    event_type: str,
    organization: str,
    data: Mapping[str, Any] | None,
    at: datetime | None,
    event_id: str | None,
) -> Event:
    """An event with an id and a time. Decimals in `data` are sent as strings, digit by digit; NaN and infinity are
    refused, and so is what the server would refuse for its size. Raises `InvalidEvent`."""
    for name, text in (("event type", event_type), ("organization", organization), ("source", source)):
        if not text or len(text) > MAX_TEXT:
            raise InvalidEvent(f"{name} must have 1 to {MAX_TEXT} characters, not {len(text)}")
    if at is None:
        moment = datetime.now(timezone.utc)
    elif at.tzinfo is None:
        raise InvalidEvent("at has no time zone: a local time without one means nothing to a server")
    else:
        moment = at.astimezone(timezone.utc)
    try:
        written = _encode(data if data is not None else {})
    except (TypeError, ValueError, RecursionError) as wrong:
        raise InvalidEvent(f"data cannot be written in JSON: {wrong}") from None
    if len(written) > MAX_DATA_BYTES:
        raise InvalidEvent(f"data has {len(written)} bytes; {MAX_DATA_BYTES} are allowed")
    if b"null" in written and data is not None:
        _refuse_no_numbers(data)
    name = event_id if event_id is not None else ids.new()
    if not name or len(name) > MAX_TEXT:
        raise InvalidEvent(f"id must have 1 to {MAX_TEXT} characters, not {len(name)}")
    body = _CloudEvent(
        "1.0", name, source, event_type, organization, moment.isoformat().replace("+00:00", "Z"), msgspec.Raw(written)
    )
    return Event(name, organization, _encode(body))


def _refuse_no_numbers(value: Any, path: str = "data") -> None:
    """Raises `InvalidEvent` for NaN and infinity, which JSON would have as null: a number that is lost is not 0."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidEvent(f"{path} is {value}, which is no number")
    if isinstance(value, Mapping):
        for key, each in value.items():
            _refuse_no_numbers(each, f"{path}.{key}")
    elif isinstance(value, list | tuple):
        for place, each in enumerate(value):
            _refuse_no_numbers(each, f"{path}[{place}]")

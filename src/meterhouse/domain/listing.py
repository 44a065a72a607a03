"""Listing events page by page, newest first, and the cursors that lead from one page to the next."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b

import msgspec

from .errors import Invalid
from .event import Event

MAX_CURSOR = 1_000
"""Longest cursor that is looked at, in characters."""
_MAC_BYTES = 16


@dataclass(frozen=True, slots=True, order=True)
class EventPosition:
    """The position of an event among all events; no two events share one."""

    time: datetime
    commit: int
    position: int


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event, its position, and when it was stored."""

    event: Event
    at: EventPosition
    stored_at: datetime


@dataclass(frozen=True, slots=True)
class EventQuery:
    """Which events to list: of one organization and type, with times in the half-open period `[start, end)`; None is
    an open side.

    `filters` keep only the events whose property has one of these texts. `after` and `before` leave out everything
    up to a place, or from it on. `as_of_commit` leaves out everything stored later.
    """

    namespace: str
    organization: str
    event_type: str
    start: datetime | None
    end: datetime | None
    as_of_commit: int
    limit: int
    filters: Mapping[str, tuple[str, ...]]
    after: EventPosition | None = None
    before: EventPosition | None = None


@dataclass(frozen=True, slots=True)
class PropertyMatch:
    """The events of an organization whose property has exactly this text, voided ones and contradictions included."""

    namespace: str
    organization: str
    path: str
    text: str


@dataclass(frozen=True, slots=True)
class EventPage:
    """One page, newest first; `older` and `newer` are cursors of the pages beside it, None where there is none."""

    events: list[Event]
    older: str | None
    newer: str | None


class PagePosition(msgspec.Struct, frozen=True):
    """What a cursor stands for: the snapshot that all its pages are taken from, and where in it the page begins."""

    start: datetime | None
    end: datetime | None
    as_of_commit: int
    at: EventPosition | None = None
    """The event next to the page; None for the first page."""
    older: bool = True
    """Whether the page is on the older side of that event."""

    def beside(self, at: EventPosition, *, older: bool) -> PagePosition:
        """The position of the page next to an event, in the same snapshot."""
        return PagePosition(self.start, self.end, self.as_of_commit, at, older)


class CursorSeal:
    """Writes positions as opaque texts, and reads back none but its own, each for the listing it was written for."""

    def __init__(self, secret: bytes):
        self._secret = secret

    def write(self, position: PagePosition, listing: tuple[str, ...]) -> str:
        """A cursor; `listing` says what is being listed, and must be the same when it is read."""
        content = msgspec.json.encode(position)
        return base64.urlsafe_b64encode(self._mac(content, listing) + content).decode().rstrip("=")

    def read(self, cursor: str, listing: tuple[str, ...]) -> PagePosition:
        """The position; raises `Invalid` for whatever this seal did not write for this listing."""
        try:
            if len(cursor) > MAX_CURSOR:
                raise ValueError(cursor[:0])
            sealed = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), b"-_", validate=True)
        except (ValueError, binascii.Error):
            sealed = b""
        mac, content = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(content, listing)):
            raise Invalid("is not a cursor of this list: begin again without one")
        return msgspec.json.decode(content, type=PagePosition)

    def _mac(self, content: bytes, listing: tuple[str, ...]) -> bytes:
        message = msgspec.json.encode(listing) + b"\0" + content
        return blake2b(message, key=self._secret, digest_size=_MAC_BYTES).digest()

"""Events as they should have been said."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
import xxhash

from ..domain.event import MAX_TEXT, Event
from ..domain.period import format_instant
from .named_events import EventName


@dataclass(frozen=True, slots=True)
class Amendment:
    """An event as it should have been said; what is None is as in the event that it replaces."""

    replaced: EventName
    type: str | None = None
    time: str | None = None
    data: bytes | None = None


def _amended_id(replaced: str, correction_id: str) -> str:
    """What says which event an amended one replaces, and by which correction; cut where that is too long."""
    event_id = f"{replaced}~{correction_id}"
    if len(event_id) <= MAX_TEXT:
        return event_id
    digest = xxhash.xxh3_128_hexdigest(event_id.encode())
    return f"{replaced[: MAX_TEXT - len(digest) - 1]}~{digest}"


def amended_event(replaced: Event, amendment: Amendment, correction_id: str) -> bytes:
    """The event anew, as a CloudEvent: its id says what it replaces, and by which correction."""
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "source": replaced.source,
            "id": _amended_id(replaced.id, correction_id),
            "type": amendment.type or replaced.type,
            "subject": replaced.organization,
            "time": amendment.time or format_instant(replaced.time),
            "data": msgspec.Raw(amendment.data or replaced.data),
        }
    )

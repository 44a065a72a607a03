"""Events as rows of their table, there and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ....domain.event import Event
from ....domain.listing import EventPosition, StoredEvent
from . import native
from .instants import instant, micros


def events_of(rows: Iterable[list[Any]]) -> Iterator[StoredEvent]:
    """The events in rows of the columns `statement.STORED_EVENT`."""
    for namespace, source, event_id, event_type, organization, time_micros, data, commit, position, stored_at in rows:
        time = instant(time_micros)
        event = Event(namespace, source, event_id, event_type, organization, time, data.encode(), {})
        yield StoredEvent(event, EventPosition(time, commit, position), instant(stored_at))


EVENT_COLUMNS = (
    ("namespace", "String"),
    ("organization", "String"),
    ("type", "String"),
    ("time", "DateTime64(6, 'UTC')"),
    ("source", "String"),
    ("id", "String"),
    ("identity", "UInt64"),
    ("commit", "UInt64"),
    ("position", "UInt32"),
    ("stored_at", "DateTime64(6, 'UTC')"),
    ("data", "String"),
    ("numbers", "Map(String, Decimal(76, 28))"),
)
"""Names and types of the columns, in the order in which they are packed."""


def columns_of(events: Sequence[Event], hashes: npt.NDArray[np.uint64], begin: EventPosition) -> list[native.Column]:
    """The columns of some events; `begin` is the position of the first, its time that of storing."""
    rows = len(events)
    texts, names, numbers = native.encode_strings, native.encode_repeated_strings, native.numbers
    stored_at = micros(begin.time)
    return [
        ("namespace", "String", names([event.namespace for event in events])),
        ("organization", "String", names([event.organization for event in events])),
        ("type", "String", names([event.type for event in events])),
        ("time", "DateTime64(6, 'UTC')", numbers("q", [micros(event.time) for event in events])),
        ("source", "String", names([event.source for event in events])),
        ("id", "String", texts([event.id.encode() for event in events])),
        ("identity", "UInt64", hashes.astype("<u8", copy=False).tobytes()),
        ("commit", "UInt64", numbers("Q", [begin.commit]) * rows),
        ("position", "UInt32", numbers("I", range(begin.position, begin.position + rows))),
        ("stored_at", "DateTime64(6, 'UTC')", numbers("q", [stored_at]) * rows),
        ("data", "String", texts([event.data for event in events])),
        ("numbers", "Map(String, Decimal(76, 28))", native.quantities([event.numbers for event in events])),
    ]

"""Events as rows of their table, there and back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import structlog
import xxhash

from ...domain.event import Event, Identity
from ...domain.listing import Place, StoredEvent
from ...domain.loss import Loss
from . import native, queries
from .identity_filter import Hashes

_log = structlog.get_logger(__name__)

_hash = xxhash.xxh3_64_intdigest
_CLOCK_SET_BACK = timedelta(days=7)
"""How far a clock may go back and commits are still told to be stored in their order."""


@dataclass(frozen=True, slots=True)
class Frozen:
    """The events up to a commit, as files."""

    parts: Path
    """A folder with a folder for each part of the table; may be written into."""
    commit: int
    events: int
    losses: list[Loss]


def identity_hashes(identities: Sequence[Identity]) -> Hashes:
    """What stands for identities in the table and the filter."""
    # No attribute may contain NUL, so that the joined text stands for one identity only.
    return np.array([_hash("\0".join(identity).encode()) for identity in identities], dtype=np.uint64)


def events_of(rows: Iterable[list[Any]]) -> Iterator[StoredEvent]:
    """The events in rows that a statement selected as `queries` has them."""
    for namespace, source, event_id, event_type, organization, micros, data, commit, position, stored_at in rows:
        time = queries.instant(micros)
        event = Event(namespace, source, event_id, event_type, organization, time, data.encode(), {})
        yield StoredEvent(event, Place(time, commit, position), queries.instant(stored_at))


def columns_of(events: Sequence[Event], hashes: Hashes, begin: Place) -> list[native.Column]:
    """`begin` is the place of the first, its time that of storing."""
    rows = len(events)
    texts, names, numbers = native.texts, native.names, native.numbers
    stored_at = queries.micros(begin.time)
    return [
        ("namespace", "String", names([event.namespace for event in events])),
        ("organization", "String", names([event.organization for event in events])),
        ("type", "String", names([event.type for event in events])),
        ("time", "DateTime64(6, 'UTC')", numbers("q", [queries.micros(event.time) for event in events])),
        ("source", "String", names([event.source for event in events])),
        ("id", "String", texts([event.id.encode() for event in events])),
        ("identity", "UInt64", hashes.astype("<u8", copy=False).tobytes()),
        ("commit", "UInt64", numbers("Q", [begin.commit]) * rows),
        ("position", "UInt32", numbers("I", range(begin.position, begin.position + rows))),
        ("stored_at", "DateTime64(6, 'UTC')", numbers("q", [stored_at]) * rows),
        ("data", "String", texts([event.data for event in events])),
        ("numbers", "Map(String, Decimal(76, 28))", native.quantities([event.numbers for event in events])),
    ]


def stored_at_after(latest: datetime, received_at: datetime) -> datetime:
    """When the next commit is stored: never before the latest one when the clock was set back a little, because what
    was known at an instant is told by it. One that was set back by more had been wrong until then."""
    if (ahead := latest - received_at) <= _CLOCK_SET_BACK:
        return max(received_at, latest)
    _log.warning("the clock was ahead: what was stored meanwhile counts as known from now on", ahead=str(ahead))
    return received_at

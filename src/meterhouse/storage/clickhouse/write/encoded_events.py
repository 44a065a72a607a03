"""Events packed as columns, all but what their commit decides. Requests pack, the writer joins."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from ....domain.errors import Invalid
from ....domain.event import Event
from ....domain.event_columns import EventColumns
from ....domain.event_sequence import ChainedEvents, LazyEvents
from ..dedup.identity_hash import Hashes, identity_hash
from ..engine import native
from ..engine.event_rows import EVENT_COLUMNS
from ..engine.instants import Micros, micros, micros_of
from ..memtable.memtable import Organization, places_of


class PackedEvents(LazyEvents):
    """Events that differ in their identities, packed column by column."""

    def __init__(self, columns: EventColumns, rows: Sequence[int], times: Micros, hashes: Hashes):
        """`rows` are the rows of the events in their request."""
        self.columns, self.rows, self.hashes = columns, rows, hashes
        self._times = times
        self.data_bytes = sum(map(len, columns.data))
        self.packed = {
            "namespace": native.encode_repeated_strings(columns.namespaces),
            "organization": native.encode_repeated_strings(columns.organizations),
            "type": native.encode_repeated_strings(columns.types),
            "time": times.astype("<i8", copy=False).tobytes(),
            "source": native.encode_repeated_strings(columns.sources),
            "id": native.encode_strings([each.encode() for each in columns.ids]),
            "identity": hashes.astype("<u8", copy=False).tobytes(),
            "data": native.encode_strings(columns.data),
        }
        self.positions = places_of(zip(columns.namespaces, columns.organizations, strict=True))
        """Where each organization's events stand among them."""
        self.number_ends = np.cumsum([len(each) for each in columns.numbers], dtype=np.uint64)
        """How many numbers the events have, up to each of them."""
        self.number_names = native.encode_repeated_strings([name for each in columns.numbers for name in each])
        self.number_values = native.decimals([number for each in columns.numbers for number in each.values()])

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.columns)

    def event(self, row: int) -> Event:
        """The event in that row."""
        return self.columns.event(row)

    def without(self, places: Collection[int]) -> PackedEvents:
        """The events without those in these rows."""
        kept = [place for place in range(len(self)) if place not in places]
        rows = [self.rows[place] for place in kept]
        return PackedEvents(self.columns.take(kept), rows, self._times[kept], self.hashes[kept])


class RetainedEvents(LazyEvents):
    """Events of a commit as they stay in memory. Each is made once: queries look at the same ones again."""

    def __init__(self, columns: EventColumns):
        self._columns = columns
        self._made: dict[int, Event] = {}

    def __len__(self) -> int:
        """How many events there are."""
        return len(self._columns)

    def event(self, row: int) -> Event:
        """The event in that row."""
        if (event := self._made.get(row)) is None:
            event = self._made[row] = self._columns.event(row)
        return event


class EncodedEvents(LazyEvents):
    """All events of a request, or of several: those that repeat an earlier one of them are not packed."""

    def __init__(self, columns: EventColumns, packed: PackedEvents):
        self.columns, self.packed = columns, packed

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.columns)

    def event(self, row: int) -> Event:
        """The event in that row."""
        return self.columns.event(row)


def encode(columns: EventColumns, latest: datetime) -> EncodedEvents | None:
    """See `ports.EventWriter.encode`. None also when two of the events contradict each other."""
    try:
        times = micros_of(columns.times)
    except Invalid:
        return None
    if times.size and times.max() > micros(latest):
        return None
    every = map(identity_hash, columns.namespaces, columns.organizations, columns.sources, columns.ids)
    hashes = np.fromiter(every, dtype=np.uint64, count=len(columns))
    if (repeated := _repeated(columns, hashes)) is None:
        return None
    if not repeated:
        return EncodedEvents(columns, PackedEvents(columns, range(len(columns)), times, hashes))
    rows = [row for row in range(len(columns)) if row not in repeated]
    return EncodedEvents(columns, PackedEvents(columns.take(rows), rows, times[rows], hashes[rows]))


def _repeated(columns: EventColumns, hashes: Hashes) -> set[int] | None:
    """The rows of events that say what an earlier one has said; None when one contradicts an earlier one."""
    repeated: set[int] = set()
    firsts: dict[int, int] = {}
    for row, value in enumerate(hashes.tolist()):
        if (first := firsts.setdefault(value, row)) == row:
            continue
        one, other = columns.event(first), columns.event(row)
        if one.identity != other.identity or not one.same_content(other):
            return None
        repeated.add(row)
    return repeated


def encoded_parts(events: Sequence[Event]) -> list[EncodedEvents] | None:
    """What the events consist of, when all of them are encoded."""
    parts = events.parts if isinstance(events, ChainedEvents) else [events]
    encoded = [part for part in parts if isinstance(part, EncodedEvents)]
    return encoded if len(encoded) == len(parts) else None


def encode_commit(parts: Sequence[PackedEvents], commit: int, stored_at: datetime) -> bytes:
    """One block with all of them, as one commit."""
    rows = sum(map(len, parts))
    begins = np.cumsum([0, *(part.number_ends[-1] for part in parts)], dtype=np.uint64)
    ends = np.concatenate([part.number_ends + begin for part, begin in zip(parts, begins, strict=False)])
    given = {
        "commit": native.numbers("Q", [commit]) * rows,
        "position": np.arange(rows, dtype="<u4").tobytes(),
        "stored_at": native.numbers("q", [micros(stored_at)]) * rows,
        "numbers": b"".join(
            (
                ends.astype("<u8", copy=False).tobytes(),
                *(part.number_names for part in parts),
                *(part.number_values for part in parts),
            )
        ),
    }
    return native.encode_block(
        rows,
        [
            (name, sql_type, given[name] if name in given else b"".join([part.packed[name] for part in parts]))
            for name, sql_type in EVENT_COLUMNS
        ],
    )


@dataclass(frozen=True, slots=True)
class Commit:
    """Events that are about to be stored together."""

    events: Sequence[Event]
    hashes: Hashes
    block: bytes
    """All of them, as the engine takes them."""
    positions: Mapping[Organization, Sequence[int]]
    """Where each organization's events stand."""
    data_bytes: int


def positions_in(parts: Sequence[PackedEvents]) -> dict[Organization, list[int]]:
    """The positions of each organization's events in the commit."""
    positions: dict[Organization, list[int]] = {}
    begin = 0
    for part in parts:
        for organization, rows in part.positions.items():
            positions.setdefault(organization, []).extend([begin + row for row in rows])
        begin += len(part)
    return positions

"""The memtable: events of the newest commits stay in memory, so that cached results are updated without the engine."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from ....domain.correction import EFFECTIVE_TYPES
from ....domain.event import Event

_MOST_EVENTS = 200_000
"""The most events of all organizations together."""
_MOST_DATA_BYTES = 64 * 1024 * 1024
"""The most data of these events. The oldest commits are evicted first."""
_MOST_AT_ONCE = 50_000
"""The most events of one scan. More would take longer here than in the engine."""

Organization: TypeAlias = tuple[str, str]
"""A namespace and an organization."""
MemtableEntry: TypeAlias = tuple[int, int, Event]
"""A commit, a position in it, and the event at that position."""


@dataclass(frozen=True, slots=True)
class _Commit:
    number: int
    events: Sequence[Event]
    positions: Mapping[Organization, Sequence[int]]
    data_bytes: int


def positions_of(events: Iterable[Event]) -> dict[Organization, list[int]]:
    """The positions of each organization's events in a commit."""
    return places_of((event.namespace, event.organization) for event in events)


def places_of(organizations: Iterable[Organization]) -> dict[Organization, list[int]]:
    """The positions of each organization in a sequence."""
    places: dict[Organization, list[int]] = {}
    for place, organization in enumerate(organizations):
        if (already := places.get(organization)) is None:
            places[organization] = [place]
        else:
            already.append(place)
    return places


class Memtable:
    """Holds all events after some commit. It begins empty: events of earlier runs are read from the engine."""

    def __init__(self, latest_commit: int):
        self._from = latest_commit
        self._latest = latest_commit
        self._commits: deque[_Commit] = deque()
        self._of: dict[Organization, deque[_Commit]] = defaultdict(deque)
        self._events = self._data_bytes = 0
        self._lock = Lock()

    @property
    def latest(self) -> int:
        """The newest commit that was added. No commit that readers can see is later."""
        return self._latest

    def add(
        self,
        commit: int,
        events: Sequence[Event],
        positions: Mapping[Organization, Sequence[int]],
        data_bytes: int,
    ) -> None:
        """Adds the next commit. Call it after `LastCommits.record`, and before the commit becomes the latest one.
        `data_bytes` is the size of the events' data."""
        # Python's garbage collector need not look through tuples of numbers.
        fixed = {organization: tuple(rows) for organization, rows in positions.items()}
        added = _Commit(commit, events, fixed, data_bytes)
        with self._lock:
            self._latest = commit
            self._commits.append(added)
            for organization in positions:
                self._of[organization].append(added)
            self._events += len(events)
            self._data_bytes += added.data_bytes
            while self._events > _MOST_EVENTS or self._data_bytes > _MOST_DATA_BYTES:
                self._evict()

    def _evict(self) -> None:
        oldest = self._commits.popleft()
        self._from = oldest.number
        self._events -= len(oldest.events)
        self._data_bytes -= oldest.data_bytes
        for organization in oldest.positions:
            self._of[organization].popleft()
            if not self._of[organization]:
                del self._of[organization]

    def reset(self, commit: int) -> None:
        """Forgets all events up to this commit. Call it with writes blocked, after stored events have changed."""
        with self._lock:
            self._commits.clear()
            self._of.clear()
            self._events = self._data_bytes = 0
            self._from = self._latest = commit

    def scan(self, organization: Organization, after: int, upto: int) -> list[MemtableEntry] | None:
        """The organization's events after one commit, up to another, in order. None when the engine has to be asked:
        some of the events were evicted, or there are too many, or one of them voids or restores another."""
        with self._lock:
            if after < self._from:
                return None
            found: list[_Commit] = []
            events = 0
            for commit in reversed(self._of.get(organization, ())):
                if commit.number <= after:
                    break
                if commit.number <= upto:
                    found.append(commit)
                    events += len(commit.positions[organization])
                    if events > _MOST_AT_ONCE:
                        return None
        entries = [
            (commit.number, position, commit.events[position])
            for commit in reversed(found)
            for position in commit.positions[organization]
        ]
        return None if any(event.type in EFFECTIVE_TYPES for _, _, event in entries) else entries

"""The events that were stored last, by identity: most retries repeat what was just sent."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from ....domain.event import Event, Identity

_MOST_EVENTS = 20_000
_MOST_DATA_BYTES = 20 * 1024 * 1024

_ROWS = 1 << 32
"""More than a commit has: a commit times this, plus a row, is one event."""


class RecentEvents:
    """Finds events of the newest commits. All events that the engine may not have yet are among them; beyond these it
    holds at most 20,000, with at most 20 MB of data.

    It holds numbers and tuples of numbers, which Python's garbage collector need not look through.
    """

    def __init__(self) -> None:
        self._commits: deque[tuple[int, tuple[int, ...], int]] = deque()
        self._events_of: dict[int, Sequence[Event]] = {}
        self._rows: dict[int, int] = {}
        self._colliding: dict[int, list[int]] = {}
        """Further events with a hash that another one has: identities may share one."""
        self._events = self._data_bytes = 0

    def add(self, commit: int, hashes: list[int], events: Sequence[Event], data_bytes: int, in_engine: int) -> None:
        """Remembers a commit, the newest, by the hashes of its identities. The engine has the commits up to another."""
        every = range(commit * _ROWS, commit * _ROWS + len(hashes))
        rows = dict(zip(hashes, every, strict=True))
        if len(rows) == len(hashes) and self._rows.keys().isdisjoint(rows):
            self._rows.update(rows)
        else:
            for row, value in zip(every, hashes, strict=True):
                if self._rows.setdefault(value, row) != row:
                    self._colliding.setdefault(value, []).append(row)
        self._commits.append((commit, tuple(hashes), data_bytes))
        self._events_of[commit] = events
        self._events += len(hashes)
        self._data_bytes += data_bytes
        while self._is_too_much() and self._commits[0][0] <= in_engine:
            self._evict()

    def _is_too_much(self) -> bool:
        return self._events > _MOST_EVENTS or self._data_bytes > _MOST_DATA_BYTES

    def _evict(self) -> None:
        commit, hashes, data_bytes = self._commits.popleft()
        for value in hashes:
            if self._rows.get(value, 0) // _ROWS == commit:
                del self._rows[value]
        for value in self._colliding.keys() & hashes:
            left = [row for row in self._colliding.pop(value) if row // _ROWS != commit]
            if left:
                self._colliding[value] = left
        del self._events_of[commit]
        self._events -= len(hashes)
        self._data_bytes -= data_bytes

    def find(self, value: int, identity: Identity) -> Event | None:
        """The event with that identity, whose hash is given; None when it is not among them."""
        first = self._rows.get(value)
        if first is None and value not in self._colliding:
            return None
        for place in (*self._colliding.get(value, ()), *(() if first is None else (first,))):
            commit, row = divmod(place, _ROWS)
            event: Event = self._events_of[commit][row]
            if event.identity == identity:
                return event
        return None

    def clear(self) -> None:
        """Forgets all of them. The engine has all commits."""
        self._commits.clear()
        self._events_of.clear()
        self._rows.clear()
        self._colliding.clear()
        self._events = self._data_bytes = 0

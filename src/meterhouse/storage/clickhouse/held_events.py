"""The events stored last, held in memory: what is not folded yet can be added up without asking the engine."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from threading import Lock
from typing import TypeAlias

from ...domain.correction import CHANGING
from ...domain.event import Event

_MOST_EVENTS = 200_000
"""How many are held, of all organizations together, with"""
_MOST_DATA_BYTES = 64 * 1024 * 1024
"""at most so much data. The oldest commits are let go first."""
_MOST_AT_ONCE = 50_000
"""What would take longer to add up here than in the engine is left to it. It is slow itself while events pour in, and
counts that it has made cannot be gone on with."""

Organization: TypeAlias = tuple[str, str]
"""A namespace and an organization."""
Held: TypeAlias = tuple[int, int, Event]
"""Commit, position in it, and the event that stands there."""


@dataclass(frozen=True, slots=True)
class _Commit:
    number: int
    events: Sequence[Event]
    positions: Mapping[Organization, Sequence[int]]
    data_bytes: int


def positions_of(events: Sequence[Event]) -> dict[Organization, list[int]]:
    """Where in a commit each organization's events stand."""
    positions: dict[Organization, list[int]] = {}
    for position, event in enumerate(events):
        organization = event.namespace, event.organization
        if (already := positions.get(organization)) is None:
            positions[organization] = [position]
        else:
            already.append(position)
    return positions


class HeldEvents:
    """All events after some commit, as they are stored. None of what was stored before the start."""

    def __init__(self, latest_commit: int):
        self._from = latest_commit
        self._latest = latest_commit
        self._commits: deque[_Commit] = deque()
        self._of: dict[Organization, deque[_Commit]] = defaultdict(deque)
        self._events = self._data_bytes = 0
        self._lock = Lock()

    @property
    def latest(self) -> int:
        """The newest commit that it was told of: none that is seen is later."""
        return self._latest

    def add(self, commit: int, events: Sequence[Event], positions: Mapping[Organization, Sequence[int]]) -> None:
        """To be told of each commit, in their order, before it is seen, and after the organizations that it touched."""
        added = _Commit(commit, events, positions, sum(len(event.data) for event in events))
        with self._lock:
            self._latest = commit
            self._commits.append(added)
            for organization in positions:
                self._of[organization].append(added)
            self._events += len(events)
            self._data_bytes += added.data_bytes
            while self._events > _MOST_EVENTS or self._data_bytes > _MOST_DATA_BYTES:
                self._let_go()

    def _let_go(self) -> None:
        oldest = self._commits.popleft()
        self._from = oldest.number
        self._events -= len(oldest.events)
        self._data_bytes -= oldest.data_bytes
        for organization in oldest.positions:
            self._of[organization].popleft()
            if not self._of[organization]:
                del self._of[organization]

    def forget(self, commit: int) -> None:
        """To be called, while nothing is being stored, when what is stored up to this commit may be otherwise than it
        was told here."""
        with self._lock:
            self._commits.clear()
            self._of.clear()
            self._events = self._data_bytes = 0
            self._from = self._latest = commit

    def between(self, organization: Organization, after: int, upto: int) -> list[Held] | None:
        """The organization's events after one commit, up to another, in their order. None when the engine has to tell:
        not all of them are held, or they are too many, or some say of others that they do not count."""
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
        held = [
            (commit.number, position, commit.events[position])
            for commit in reversed(found)
            for position in commit.positions[organization]
        ]
        return None if any(event.type in CHANGING for _, _, event in held) else held

"""Events one after another that need not be made before somebody looks at one."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import overload

from .event import Event


class LazyEvents(Sequence[Event]):
    """Events by their place; a subclass tells how many there are and makes one of them."""

    def event(self, row: int) -> Event:
        """The event in that place, which is there."""
        raise NotImplementedError

    @overload
    def __getitem__(self, index: int) -> Event: ...
    @overload
    def __getitem__(self, index: slice) -> list[Event]: ...
    def __getitem__(self, index: int | slice) -> Event | list[Event]:
        """One of them, or some."""
        if isinstance(index, slice):
            return [self.event(row) for row in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return self.event(index % len(self))


class ChainedEvents(LazyEvents):
    """All events of several sequences, in their order."""

    def __init__(self, parts: Sequence[Sequence[Event]]):
        self.parts = parts
        self._ends = [*accumulate(map(len, parts))]

    def __len__(self) -> int:
        """How many events there are."""
        return self._ends[-1] if self._ends else 0

    def event(self, row: int) -> Event:
        """The event in that place."""
        part = bisect_right(self._ends, row)
        return self.parts[part][row - (self._ends[part] - len(self.parts[part]))]


class EventRange(LazyEvents):
    """Some events of a sequence that stand beside each other."""

    def __init__(self, events: Sequence[Event], begin: int, count: int):
        self._events, self._begin, self._count = events, begin, count

    def __len__(self) -> int:
        """How many events there are."""
        return self._count

    def event(self, row: int) -> Event:
        """The event in that place."""
        return self._events[self._begin + row]

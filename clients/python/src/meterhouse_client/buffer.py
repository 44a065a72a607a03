"""Events that wait to be sent: as many as may, in their order."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from .errors import BufferFull, Closed
from .events import Event

_OVERHEAD_BYTES = 200
"""What an event takes in memory beside its text, about."""


class WhenFull(Enum):
    """What becomes of an event for which there is no room."""

    RAISE = "raise"
    """`BufferFull` is raised."""
    BLOCK = "block"
    """The caller waits until there is."""
    DROP = "drop"
    """It is dropped, and counted."""


@dataclass(frozen=True)
class Waiting:
    """An event that waits."""

    event: Event
    spooled: int | None
    """Its number in the spool."""
    since_s: float


class Buffer:
    """Bounded by events and bytes. May be used from many threads; one takes."""

    def __init__(self, max_events: int, max_bytes: int, when_full: WhenFull):
        self._max_events = max_events
        self._max_bytes = max_bytes
        self._when_full = when_full
        self._waiting: deque[Waiting] = deque()
        self._bytes = 0
        self._taken = 0
        """Events that are being sent: they wait as long as nobody has answered for them."""
        self._changed = threading.Condition(threading.Lock())
        self._flushing = 0
        self._closed = False

    def __len__(self) -> int:
        """How many wait, those that are being sent included."""
        return len(self._waiting) + self._taken

    def add(self, event: Event, spooled: int | None = None, *, always: bool = False) -> bool:
        """Answers False when it was dropped. Raises `BufferFull` and `Closed`. `always` takes it whatever waits."""
        size = len(event.body) + _OVERHEAD_BYTES
        with self._changed:
            while not always and (len(self) >= self._max_events or self._bytes + size > self._max_bytes):
                if self._closed:
                    break
                if self._when_full is WhenFull.DROP:
                    return False
                if self._when_full is WhenFull.RAISE:
                    raise BufferFull(
                        f"{len(self)} events wait to be sent, {self._bytes} bytes; the server has not taken them"
                    )
                self._changed.wait()
            if self._closed and not always:
                raise Closed("the meter was closed")
            first = not self._waiting
            self._waiting.append(Waiting(event, spooled, time.monotonic()))
            self._bytes += size
            if first or len(self._waiting) % 64 == 0:
                self._changed.notify_all()
        return True

    def take(self, most_events: int, most_bytes: int, linger_s: float) -> list[Waiting]:
        """The next events to be sent together: when there are so many, or the oldest has waited so long. Empty
        when the meter is closed and none are left."""
        with self._changed:
            while True:
                if self._waiting:
                    wait_s = self._waiting[0].since_s + linger_s - time.monotonic()
                    hurried = self._flushing or self._closed
                    if hurried or wait_s <= 0 or len(self._waiting) >= most_events or self._bytes >= most_bytes:
                        break
                    self._changed.wait(wait_s)
                elif self._closed:
                    return []
                else:
                    self._changed.wait()
            taken: list[Waiting] = []
            size = 0
            while self._waiting and len(taken) < most_events:
                size += len(self._waiting[0].event.body)
                if taken and size > most_bytes:
                    break
                taken.append(self._waiting.popleft())
            self._taken = len(taken)
            return taken

    def settled(self, taken: Sequence[Waiting]) -> None:
        """Somebody has answered for these."""
        with self._changed:
            self._taken -= len(taken)
            self._bytes -= sum(len(each.event.body) + _OVERHEAD_BYTES for each in taken)
            self._changed.notify_all()

    def wait_empty(self, timeout_s: float | None) -> bool:
        """Has everything sent at once, and answers whether that was done in time."""
        with self._changed:
            self._flushing += 1
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not len(self), timeout_s)
            finally:
                self._flushing -= 1

    def close(self) -> None:
        """Takes no more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

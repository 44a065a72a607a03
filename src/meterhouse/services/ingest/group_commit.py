"""Group commit: one thread commits, and requests that wait at the same time share a commit."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

from ...domain.errors import Overloaded
from .limits import GroupCommitLimits
from .submission import Submission

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000


class GroupCommit:
    """Queues submissions, and hands those that wait together to `commit`, in a thread of its own."""

    def __init__(self, limits: GroupCommitLimits, commit: Callable[[Sequence[Submission]], None]):
        """`commit` must not raise: it answers every submission that it is given."""
        self._limits = limits
        self._commit = commit
        self._waiting: deque[Submission] = deque()
        self._waiting_events = self._waiting_bytes = 0
        self._changed = threading.Condition(threading.Lock())  # guards the three above
        self._closed = False
        self._expected_requests = 0
        """How many requests were under way at the end of the last commit."""
        self._writer = threading.Thread(target=self._write, name="meterhouse-writer", daemon=True)
        self._writer.start()

    def waiting(self) -> tuple[int, int]:
        """How many requests, and how many events, wait for their commit."""
        return len(self._waiting), self._waiting_events

    def put(self, submission: Submission) -> None:
        """Queues a submission. Raises `Overloaded`."""
        with self._changed:
            self.refuse_overload(submission.count, submission.size)
            self._waiting.append(submission)
            self._waiting_events += submission.count
            self._waiting_bytes += submission.size
            if len(self._waiting) == 1 or not self._more_expected():
                self._changed.notify()  # no sooner: waking the writer for nothing costs more than a small request

    def refuse_overload(self, events: int, size: int) -> None:
        """Raises `Overloaded` when so many events, of so many bytes, are too much beside what waits."""
        limits = self._limits
        if self._closed:
            raise Overloaded("the server is shutting down; send the events again")
        if self._waiting and (
            len(self._waiting) >= limits.waiting_requests
            or self._waiting_events + events > limits.waiting_events
            or self._waiting_bytes + size > limits.waiting_bytes
        ):
            raise Overloaded("too much is waiting to be stored; send the events again")

    def expect(self, answered: int) -> None:
        """Says, before the first of them is answered, how many requests are about to be: they may send again."""
        self._expected_requests = answered + len(self._waiting)

    def close(self) -> None:
        """Commits what is waiting, then stops the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._writer.join()

    def _write(self) -> None:
        while together := self._next_commit():
            self._commit(together)

    def _next_commit(self) -> list[Submission]:
        """The requests that share the next commit, as soon as there are any; none at the very end."""
        limits = self._limits
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            until = time.perf_counter_ns() + limits.commit_delay_ms * _NS_PER_MS
            while self._more_expected():
                patience = until - time.perf_counter_ns()
                if patience <= 0 or not self._changed.wait(patience / _NS_PER_S):
                    break
            together: list[Submission] = []
            events = 0
            while self._waiting and (not together or events + self._waiting[0].count <= limits.commit_events):
                submission = self._waiting.popleft()
                together.append(submission)
                events += submission.count
                self._waiting_bytes -= submission.size
            self._waiting_events -= events
        return together

    def _more_expected(self) -> bool:
        """Whether fewer wait than did lately: those who have just been answered may be about to send again."""
        return (
            not self._closed
            and len(self._waiting) < self._expected_requests
            and self._waiting_events < self._limits.commit_events
        )

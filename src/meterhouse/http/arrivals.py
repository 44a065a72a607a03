"""What came in lately, from memory: for whoever looks after the server."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain

from ..services.ingest import Report

MINUTES = 60
_MOST_REFUSALS = 50


@dataclass(frozen=True, slots=True)
class Refusal:
    """An event that was not taken: when, in seconds since 1970, and in the words of its report."""

    at_s: float
    namespace: str
    event_id: str | None
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Received:
    """What came in: events of each of the last 60 minutes, oldest first; when the last were ingested; what became of
    all since the start; and the latest refusals, newest first."""

    minutes: list[int]
    last_at_s: float | None
    outcomes: dict[str, int]
    unmatched: int
    refusals: list[Refusal]

    @classmethod
    def of_all(cls, parts: Sequence[Received]) -> Received:
        """What several processes took in, one at least."""
        refusals = sorted(
            chain.from_iterable(each.refusals for each in parts), key=lambda each: each.at_s, reverse=True
        )
        return cls(
            [sum(counts) for counts in zip(*(each.minutes for each in parts), strict=True)],
            max((each.last_at_s for each in parts if each.last_at_s is not None), default=None),
            {outcome: sum(each.outcomes[outcome] for each in parts) for outcome in parts[0].outcomes},
            sum(each.unmatched for each in parts),
            refusals[:_MOST_REFUSALS],
        )


class Arrivals:
    """Ingested events of each of the last 60 minutes, and the latest refusals. Only the event loop may count."""

    def __init__(self, seconds: Callable[[], float] = time.time):
        self._seconds = seconds
        self._counts = [0] * MINUTES
        self._newest = int(seconds()) // 60
        self._refusals: deque[Refusal] = deque(maxlen=_MOST_REFUSALS)
        self.last_at_s: float | None = None
        """When the last events were ingested; None when there were none since the start."""

    def count(self, namespace: str, report: Report) -> None:
        """Remembers what became of a request's events."""
        now_s = self._seconds()
        if report.ingested:
            self._go_on(int(now_s) // 60)
            self._counts[self._newest % MINUTES] += report.ingested
            self.last_at_s = now_s
        for failure in report.errors:
            self._refusals.append(Refusal(now_s, namespace, failure.id, failure.code, failure.message))

    def minutes(self) -> list[int]:
        """How many events each minute had, oldest first; the last one is the minute that runs."""
        self._go_on(int(self._seconds()) // 60)
        first = self._newest + 1
        return [self._counts[(first + number) % MINUTES] for number in range(MINUTES)]

    def refusals(self) -> list[Refusal]:
        """The latest refusals, newest first."""
        return [*reversed(self._refusals)]

    def _go_on(self, minute: int) -> None:
        for passed in range(self._newest + 1, min(minute, self._newest + MINUTES) + 1):
            self._counts[passed % MINUTES] = 0
        self._newest = max(self._newest, minute)

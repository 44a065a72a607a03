"""One request's events on their way into the store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from ...domain.event import Event, Outcome, Rejected
from ...domain.event_columns import UnreadEvents
from .reports import FAILED, MAX_ERRORS, Failure, Report

Done: TypeAlias = Callable[["Report | BaseException"], None]
"""Is called once, in any thread, with what became of a request."""


@dataclass(frozen=True, slots=True)
class Body:
    """The events of a request as they were sent."""

    namespace: str
    content: bytes
    lines: bool
    organization: str | None
    """The only organization whose events are taken; any when absent."""
    enforced: bool = False
    """Whether events that a hard limit has no room for are refused."""
    keeps_unreadable: bool = False
    """Whether an event that a meter cannot read is stored all the same; that meter leaves it out."""


@dataclass(slots=True)
class Submission:
    """Events of one request."""

    received_at: datetime
    size: int
    """Bytes of the events as they were sent."""
    done: Done
    count: int = 0
    """How many events there are at most."""
    body: Body | None = None
    unread: UnreadEvents | None = None
    """The events of `body`, as long as only their envelopes are read."""
    events: Sequence[Event] = ()
    indexes: Sequence[int] = ()
    """Where each of `events` stands in the request, from 0."""
    unmatched: Sequence[int] = ()
    """Which of `events` have a type that no meter reads."""
    decide: Callable[[], None] | None = None
    """Decides, right before the commit, which events are stored; raises when none are to be."""
    report: Report = field(default_factory=Report)

    def keep(self, places: Sequence[int]) -> None:
        """Leaves out the events in other places."""
        left = dict.fromkeys(places)
        self.unmatched = [place for place, old in enumerate(left) if old in {*self.unmatched}]
        self.events, self.indexes = [self.events[place] for place in left], [self.indexes[place] for place in left]

    def reject(self, index: int, rejected: Rejected) -> None:
        """Counts an event that cannot be taken."""
        report = self.report
        report.rejected += 1
        if len(report.errors) < MAX_ERRORS:
            report.errors.append(Failure(index, rejected.event_id, rejected.code, str(rejected)))

    def settle(self, outcomes: Sequence[Outcome], position: str) -> None:
        """Finishes the report with what became of `events`, and the position of the store after that."""
        report = self.report
        report.position = position
        report.ingested = outcomes.count(Outcome.INGESTED)
        if report.ingested < len(outcomes):
            report.duplicates = outcomes.count(Outcome.DUPLICATE)
            report.conflicts = outcomes.count(Outcome.CONFLICT)
            unknown = outcomes.count(Outcome.UNKNOWN_TARGET)
            report.rejected += unknown
            if report.conflicts or unknown:
                self._list_failures(outcomes)
        report.unmatched = sum(outcomes[place] is Outcome.INGESTED for place in self.unmatched)
        report.errors_omitted = report.rejected + report.conflicts - len(report.errors)
        self.done(report)

    def _list_failures(self, outcomes: Sequence[Outcome]) -> None:
        failed = [place for place, outcome in enumerate(outcomes) if outcome in FAILED][:MAX_ERRORS]
        self.report.errors += [
            Failure(self.indexes[place], self.events[place].id, outcomes[place].value, FAILED[outcomes[place]])
            for place in failed
        ]
        self.report.errors = sorted(self.report.errors, key=lambda failure: failure.index)[:MAX_ERRORS]

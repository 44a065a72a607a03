"""What became of the events of a request."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

from ..domain.event import Event, Outcome, Rejected

MAX_ERRORS = 100
"""Most events of a request whose errors are told one by one."""

_FAILED = {
    Outcome.CONFLICT: "this source and id are known with other content; the first one stands",
    Outcome.UNKNOWN_TARGET: "it corrects an event that is not stored",
}


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one event of a request was not ingested; `index` is its place in the request, from 0."""

    index: int
    id: str | None
    code: str
    message: str


@dataclass(slots=True)
class Report:
    """What became of the events of one request: `unmatched` of those ingested have a type that no meter reads. The
    first 100 `errors` are told, and how many more there are."""

    ingested: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    unmatched: int = 0
    errors: list[Failure] = field(default_factory=list)
    errors_omitted: int = 0

    @property
    def refused_whole(self) -> bool:
        """Whether there were events and all of them were refused. A duplicate is not: it is stored."""
        return bool(self.rejected or self.conflicts) and not (self.ingested or self.duplicates)


@dataclass(slots=True)
class Submission:
    """Events of one request on their way into the store."""

    received_at: datetime
    size: int
    """Bytes of the events as they were sent."""
    events: list[Event] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    unmatched: list[int] = field(default_factory=list)
    """Which of `events` have a type that no meter reads."""
    report: Report = field(default_factory=Report)
    done: Future[Report] = field(default_factory=Future)

    def __post_init__(self) -> None:
        """Begins."""
        # A client that hangs up must not cancel what is about to be stored with others.
        self.done.set_running_or_notify_cancel()

    def reject(self, index: int, rejected: Rejected) -> None:
        """Counts an event that cannot be taken."""
        report = self.report
        report.rejected += 1
        if len(report.errors) < MAX_ERRORS:
            report.errors.append(Failure(index, rejected.event_id, rejected.code, str(rejected)))

    def settle(self, outcomes: Sequence[Outcome]) -> None:
        """Finishes the report with what became of `events`."""
        report = self.report
        report.ingested = outcomes.count(Outcome.INGESTED)
        report.duplicates = outcomes.count(Outcome.DUPLICATE)
        report.conflicts = outcomes.count(Outcome.CONFLICT)
        unknown = outcomes.count(Outcome.UNKNOWN_TARGET)
        report.rejected += unknown
        report.unmatched = sum(outcomes[place] is Outcome.INGESTED for place in self.unmatched)
        if report.conflicts or unknown:
            failed = [place for place, outcome in enumerate(outcomes) if outcome in _FAILED][:MAX_ERRORS]
            report.errors += [
                Failure(self.indexes[place], self.events[place].id, outcomes[place].value, _FAILED[outcomes[place]])
                for place in failed
            ]
            report.errors = sorted(report.errors, key=lambda failure: failure.index)[:MAX_ERRORS]
        report.errors_omitted = report.rejected + report.conflicts - len(report.errors)
        self.done.set_result(report)

"""What became of the events of a request."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...domain.event import Outcome

MAX_ERRORS = 100
"""Most events of a request whose errors are told one by one."""

FAILED = {
    Outcome.CONFLICT: "the organization has an event of this source and id with other content; the first one stands",
    Outcome.UNKNOWN_TARGET: "it corrects an event that is not stored",
}
"""What a report says of an event with such an outcome."""


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
    first 100 `errors` are told, and how many more there are. Every answer at or after `position` includes the events,
    duplicates too."""

    ingested: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    unmatched: int = 0
    errors: list[Failure] = field(default_factory=list)
    errors_omitted: int = 0
    position: str = ""

    @property
    def refused_whole(self) -> bool:
        """Whether there were events and all of them were refused. A duplicate is not: it is stored."""
        return bool(self.rejected or self.conflicts) and not (self.ingested or self.duplicates)

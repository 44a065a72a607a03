"""Commits: for caches, and for answers as of a moment."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ..domain.listing import StoredEvent


@dataclass(frozen=True, slots=True)
class Changed:
    """What some commits have."""

    organizations: frozenset[tuple[str, str]]
    """Namespace and id of those that they have events of."""
    corrected: bool
    """Whether a part of a correction is among them."""


class CommitLog(Protocol):
    """Tells of commits, mostly from memory."""

    def latest_commit(self) -> int:
        """The number of the newest finished commit; 0 before the first. Numbers only grow, over restarts too."""
        ...

    def stored_events(self) -> int:
        """How many events were stored since the start. Answers from memory."""
        ...

    def last_commit_of(self, namespace: str, organization: str) -> int:
        """An upper bound on the organization's last commit: a result at or after it is current. Answers from memory,
        and knows a commit before `latest_commit` does."""
        ...

    def commit_at(self, instant: datetime) -> int:
        """The newest commit that was stored at that instant or before, 0 when there was none."""
        ...

    def follow_changes(self) -> None:
        """From now on `take_changes` has what is stored; before, nothing is remembered for it."""
        ...

    def take_changes(self, upto: int) -> Changed:
        """What was stored in commits up to one that is finished, since it was taken last. Answers from memory."""
        ...

    def changed_since(self, commit: int) -> Changed:
        """What was stored after a commit."""
        ...

    def correction_steps(self, after: int, upto: int) -> list[StoredEvent]:
        """The steps of corrections in some commits, in the order in which they were stored."""
        ...

"""Commits: for caches, and for answers as of a moment."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


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

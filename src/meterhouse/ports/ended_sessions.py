"""Sessions that were ended before their time."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class EndedSessions(Protocol):
    """Every method is one transaction."""

    def end_session(self, session_id: str, until: datetime, now: datetime) -> None:
        """Remembers that a session has ended, until the instant at which it would have; forgets those of before."""
        ...

    def session_ended(self, session_id: str) -> bool:
        """Whether that was said of a session."""
        ...

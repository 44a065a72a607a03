"""Clocks: the machine's, and one that stands still."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime


class SystemClock:
    """The machine's time."""

    def now(self) -> datetime:
        """See `ports.Clock`."""
        return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class FrozenClock:
    """Always the same instant."""

    instant: datetime

    def now(self) -> datetime:
        """See `ports.Clock`."""
        return self.instant

"""How many answers an organization may get in an hour."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime, timedelta

from ..ports.request_counts import RequestCounts

HOUR = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Allowance:
    """Where an organization stands in the current UTC hour."""

    limit: int
    used: int
    resets_at: datetime

    @property
    def remaining(self) -> int:
        """How many more it may get; never negative, also after the limit was lowered."""
        return max(0, self.limit - self.used)


@dataclass(frozen=True, slots=True)
class RateLimits:
    """Counts answers in fixed UTC hours, in the ledger, so that neither a restart nor a second key starts anew."""

    ledger: RequestCounts
    changing: Callable[[], AbstractContextManager[None]] = nullcontext
    """Is held while the ledger is changed, and raises where it may not be now."""

    def peek(self, organization_id: str, limit: int, now: datetime) -> Allowance:
        """The allowance; counts nothing."""
        hour = _hour(now)
        return Allowance(limit, self.ledger.requests(organization_id, hour), hour + HOUR)

    def consume(self, organization_id: str, limit: int, now: datetime) -> Allowance | None:
        """Counts one more answer, and answers the allowance after it; None when nothing was left."""
        hour = _hour(now)
        with self.changing():
            used = self.ledger.count_request(organization_id, hour, limit)
        return None if used is None else Allowance(limit, used, hour + HOUR)


def _hour(now: datetime) -> datetime:
    return now.replace(minute=0, second=0, microsecond=0)

"""How many requests an organization has made in an hour: for rate limits."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol


class RequestCounts(Protocol):
    """Every method is one transaction."""

    def requests(self, organization_id: str, hour: datetime) -> int:
        """How many requests of that hour are counted for the organization."""
        ...

    def count_request(self, organization_id: str, hour: datetime, limit: int) -> int | None:
        """Counts one more request of that hour and answers how many there are; None, counting nothing, when `limit`
        (1 or more) are counted already. Exact under parallel calls, and on disk when it returns. The organization
        exists. Only the hour counted last is remembered."""
        ...

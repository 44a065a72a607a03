"""How many requests an organization has made in an hour."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import case, or_, select
from sqlalchemy.exc import IntegrityError

from .database import Database, no_organization
from .tables import request_counts


class SqlRequestCounts(Database):
    """See `ports.RequestCounts`."""

    def requests(self, organization_id: str, hour: datetime) -> int:
        """See `Ledger.requests`."""
        counted = select(request_counts.c.requests).where(
            request_counts.c.organization == organization_id, request_counts.c.hour == hour
        )
        with self._engine.connect() as connection:
            return connection.scalar(counted) or 0

    def count_request(self, organization_id: str, hour: datetime, limit: int) -> int | None:
        """See `Ledger.count_request`. Raises `NotFound` without the organization."""
        new = self._insert(request_counts).values(organization=organization_id, hour=hour, requests=1)
        other_hour = request_counts.c.hour != hour
        change = new.on_conflict_do_update(
            index_elements=["organization"],
            set_={"hour": hour, "requests": case((other_hour, 1), else_=request_counts.c.requests + 1)},
            where=or_(other_hour, request_counts.c.requests < limit),
        ).returning(request_counts.c.requests)
        try:
            with self._engine.begin() as connection:
                counted: int | None = connection.scalar(change)
                return counted
        except IntegrityError:
            raise no_organization(organization_id) from None

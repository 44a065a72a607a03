"""Grants of organizations."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import URL, insert, update
from sqlalchemy.exc import IntegrityError

from ...domain.errors import AlreadyExists, NotFound
from ...domain.grant import Grant
from ..reserved_space import ReservedSpace
from .cache import ReadCache
from .database import no_organization, query_of, values_of
from .keys import SqlKeys
from .schedule import made_due
from .tables import alert_schedule, grants

_CACHED = 10_000
_GRANTS = query_of(grants, Grant)


class SqlGrants(SqlKeys):
    """See `ports.Grants`."""

    def __init__(self, url: str | URL, reserved: ReservedSpace | None = None):
        """See `SqlKeys`."""
        super().__init__(url, reserved)
        self._grants: ReadCache[tuple[Grant, ...]] = ReadCache(_CACHED)

    def add_grant(self, grant: Grant) -> None:
        """See `Ledger.add_grant`."""
        try:
            with (
                self._changes.changing(grant.organization),
                self._grants.changing(grant.organization),
                self._engine.begin() as connection,
            ):
                connection.execute(insert(grants).values(values_of(grant)))
                self._record(connection, organization=grant.organization, grant=grant.id, meter=grant.meter)
                connection.execute(made_due(alert_schedule.c.organization == grant.organization))
        except IntegrityError:
            if self.organization(grant.organization) is None:
                raise no_organization(grant.organization) from None
            raise AlreadyExists(
                f"organization {grant.organization!r} has another grant {grant.id!r}: choose another id"
            ) from None

    def grants(self, organization_id: str) -> tuple[Grant, ...]:
        """See `Ledger.grants`."""

        def read() -> tuple[Grant, ...]:
            found = self._read(Grant, _GRANTS.where(grants.c.organization == organization_id))
            return tuple(sorted(found, key=lambda grant: (grant.created_at, grant.id)))

        return self._grants.get(organization_id, read) or ()

    def void_grant(self, organization_id: str, grant_id: str, at: datetime) -> None:
        """See `Ledger.void_grant`."""
        change = (
            update(grants)
            .where(grants.c.organization == organization_id, grants.c.id == grant_id, grants.c.voided_at.is_(None))
            .values(voided_at=at)
        )
        with (
            self._changes.changing(organization_id),
            self._grants.changing(organization_id),
            self._engine.begin() as connection,
        ):
            if voided := connection.execute(change).rowcount:
                self._record(connection, organization=organization_id, grant=grant_id)
            connection.execute(made_due(alert_schedule.c.organization == organization_id))
        if not voided:
            raise NotFound(
                f"organization {organization_id!r} has no grant {grant_id[:128]!r}, or it is voided already: "
                "check the id in its list of grants"
            )

"""Organizations and their subscriptions."""

from __future__ import annotations

from collections.abc import Set
from datetime import datetime

from sqlalchemy import URL, ColumnElement, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from ...domain.directory import FoundOrganization, FoundOrganizations, OrganizationSearch
from ...domain.errors import AlreadyExists, NotFound
from ...domain.organization import Organization
from ...domain.plan import Subscription
from .cache import ReadCache
from .database import Database, no_organization, query_of, values_of
from .schedule import made_due, scheduled
from .tables import alert_schedule, organizations, subscriptions

_CACHED = 10_000
_ALL = ""
"""What stands for every organization in a cache of one value."""
_ORGANIZATIONS = query_of(organizations, Organization)
SUBSCRIPTIONS = query_of(subscriptions, Subscription)


class SqlOrganizations(Database):
    """See `ports.Organizations`."""

    def __init__(self, url: str | URL):
        super().__init__(url)
        self._organizations: ReadCache[Organization] = ReadCache(_CACHED)
        self._subscriptions: ReadCache[Subscription] = ReadCache(_CACHED)
        self._deleted: ReadCache[frozenset[tuple[str, str]]] = ReadCache(1)

    def add_organization(self, organization: Organization) -> None:
        """See `Ledger.add_organization`."""
        try:
            with self._changes.changing(organization.id), self._engine.begin() as connection:
                connection.execute(insert(organizations).values(values_of(organization)))
                self._record(connection, namespace=organization.namespace, organization=organization.id)
                connection.execute(insert(alert_schedule).values(scheduled(organization)))
        except IntegrityError:
            raise AlreadyExists(
                f"organization id {organization.id!r} is taken (a deleted organization keeps its id): choose another"
            ) from None

    def organization(self, organization_id: str) -> Organization | None:
        """See `Ledger.organization`."""
        return self._organizations.get(
            organization_id,
            lambda: self._read_one(Organization, _ORGANIZATIONS.where(organizations.c.id == organization_id)),
        )

    def organizations(self) -> list[Organization]:
        """See `Ledger.organizations`."""
        found = self._read(Organization, _ORGANIZATIONS.where(organizations.c.deleted_at.is_(None)))
        return sorted(found, key=lambda organization: organization.id)  # databases differ in how they sort text

    def find_organizations(self, search: OrganizationSearch) -> FoundOrganizations:
        """See `Ledger.find_organizations`."""
        conditions: list[ColumnElement[bool]] = [organizations.c.deleted_at.is_(None)]
        if search.text:
            columns = (organizations.c.id, organizations.c.name)
            conditions.append(or_(*(column.icontains(search.text, autoescape=True) for column in columns)))
        if search.namespace is not None:
            conditions.append(organizations.c.namespace == search.namespace)
        if search.plan is not None:
            conditions.append(subscriptions.c.plan == search.plan)
        if search.ids is not None:
            conditions.append(organizations.c.id.in_(search.ids))
        joined = organizations.outerjoin(subscriptions, subscriptions.c.organization == organizations.c.id)
        counted = select(func.count()).select_from(joined).where(*conditions)
        page = _ORGANIZATIONS.add_columns(subscriptions.c.plan).select_from(joined).where(*conditions)
        by_id = organizations.c.id if self._engine.dialect.name == "sqlite" else organizations.c.id.collate("C")
        page = page.order_by(by_id).offset(search.offset).limit(search.limit)
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(page).mappings()]
            total = connection.scalar(counted) or 0
        found = (FoundOrganization(plan=row.pop("plan"), organization=Organization(**row)) for row in rows)
        return FoundOrganizations(tuple(found), total)

    def delete_organization(self, organization_id: str, at: datetime) -> None:
        """See `Ledger.delete_organization`."""
        change = (
            update(organizations)
            .where(organizations.c.id == organization_id, organizations.c.deleted_at.is_(None))
            .values(deleted_at=at)
        )
        with (
            self._changes.changing(organization_id),
            self._organizations.changing(organization_id),
            self._deleted.changing(_ALL),
            self._engine.begin() as connection,
        ):
            if deleted := connection.execute(change).rowcount:
                self._record(connection, organization=organization_id)
        if not deleted:
            raise NotFound(f"there is no organization {organization_id!r}, or it is deleted already: check the id")

    def restore_organization(self, organization_id: str, deleted_after: datetime | None) -> None:
        """See `Ledger.restore_organization`."""
        deleted_at = organizations.c.deleted_at
        deleted = (
            deleted_at.is_not(None) if deleted_after is None else deleted_at > deleted_after,
            organizations.c.purged_at.is_(None),
        )
        change = update(organizations).where(organizations.c.id == organization_id, *deleted).values(deleted_at=None)
        with (
            self._changes.changing(organization_id),
            self._organizations.changing(organization_id),
            self._deleted.changing(_ALL),
            self._engine.begin() as connection,
        ):
            if restored := connection.execute(change).rowcount:
                self._record(connection, organization=organization_id)
            connection.execute(made_due(alert_schedule.c.organization == organization_id))
        if not restored:
            raise NotFound(f"there is no deleted organization {organization_id[:128]!r} whose events are still stored")

    def deleted(self) -> Set[tuple[str, str]]:
        """See `Ledger.deleted`."""

        def read() -> frozenset[tuple[str, str]]:
            found = self._read(Organization, _ORGANIZATIONS.where(organizations.c.deleted_at.is_not(None)))
            return frozenset((organization.namespace, organization.id) for organization in found)

        return self._deleted.get(_ALL, read) or frozenset()

    def purgeable(self, deleted_until: datetime) -> list[Organization]:
        """See `Ledger.purgeable`."""
        due = organizations.c.deleted_at <= deleted_until
        found = self._read(Organization, _ORGANIZATIONS.where(due, organizations.c.purged_at.is_(None)))
        return sorted(found, key=lambda organization: organization.id)

    def mark_purged(self, organization_id: str, at: datetime) -> None:
        """See `Ledger.mark_purged`."""
        with self._engine.begin() as connection:
            connection.execute(update(organizations).where(organizations.c.id == organization_id).values(purged_at=at))

    def put_subscription(self, organization_id: str, subscription: Subscription) -> None:
        """See `Ledger.put_subscription`."""
        values = values_of(subscription)
        new = self._insert(subscriptions).values(organization=organization_id, **values)
        change = new.on_conflict_do_update(index_elements=["organization"], set_=values)
        try:
            with (
                self._changes.changing(organization_id),
                self._subscriptions.changing(organization_id),
                self._engine.begin() as connection,
            ):
                connection.execute(change)
                connection.execute(made_due(alert_schedule.c.organization == organization_id))
                self._record(connection, organization=organization_id, plan=subscription.plan or "")
        except IntegrityError:
            raise no_organization(organization_id) from None

    def subscription(self, organization_id: str) -> Subscription | None:
        """See `Ledger.subscription`."""
        return self._subscriptions.get(
            organization_id,
            lambda: self._read_one(Subscription, SUBSCRIPTIONS.where(subscriptions.c.organization == organization_id)),
        )

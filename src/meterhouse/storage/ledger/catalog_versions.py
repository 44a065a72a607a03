"""Versions of catalogs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from sqlalchemy import URL, func, insert, select
from sqlalchemy.exc import IntegrityError

from ...domain.catalog_version import CatalogVersion
from ...domain.errors import AlreadyExists
from ...domain.plan import Subscription
from ..reserved_space import ReservedSpace
from .cache import ReadCache
from .database import query_of, values_of
from .grants import SqlGrants
from .organizations import SUBSCRIPTIONS
from .tables import catalog_versions, grants, organizations, subscriptions

_ALL = ""
"""What stands for every namespace in a cache of one value."""
_VERSIONS = query_of(catalog_versions, CatalogVersion)


class SqlCatalogVersions(SqlGrants):
    """See `ports.CatalogVersions`."""

    def __init__(self, url: str | URL, reserved: ReservedSpace | None = None):
        """See `SqlKeys`."""
        super().__init__(url, reserved)
        self._newest_catalogs: ReadCache[Mapping[str, int]] = ReadCache(1)

    def add_catalog_version(self, version: CatalogVersion) -> None:
        """See `CatalogVersions.add_catalog_version`."""
        try:
            with (
                self._changes.changing_all(),
                self._newest_catalogs.changing(_ALL),
                self._engine.begin() as connection,
            ):
                connection.execute(insert(catalog_versions).values(values_of(version)))
                self._record(connection, namespace=version.namespace, version=str(version.number))
        except IntegrityError:
            raise AlreadyExists(
                f"the catalog of {version.namespace!r} was changed at the same moment: look at its newest version, and "
                "try again"
            ) from None

    def newest_catalogs(self) -> Mapping[str, int]:
        """See `CatalogVersions.newest_catalogs`."""

        def read() -> Mapping[str, int]:
            of = catalog_versions.c
            newest = select(of.namespace, func.max(of.number).label("number")).group_by(of.namespace)
            with self._engine.connect() as connection:
                return {row.namespace: row.number for row in connection.execute(newest)}

        found = self._newest_catalogs.get(_ALL, read)
        assert found is not None  # there is a mapping, if an empty one
        return found

    def catalog_version(self, namespace: str, number: int) -> CatalogVersion | None:
        """See `CatalogVersions.catalog_version`."""
        of = catalog_versions.c
        return self._read_one(CatalogVersion, _VERSIONS.where(of.namespace == namespace, of.number == number))

    def catalog_versions(self, namespace: str, before: int, limit: int) -> list[CatalogVersion]:
        """See `CatalogVersions.catalog_versions`."""
        of = catalog_versions.c
        newest = _VERSIONS.where(of.namespace == namespace, of.number < before).order_by(of.number.desc())
        return self._read(CatalogVersion, newest.limit(limit))

    def subscriptions_in(self, namespace: str) -> Mapping[str, Subscription]:
        """See `CatalogVersions.subscriptions_in`."""
        joined = subscriptions.join(organizations, subscriptions.c.organization == organizations.c.id)
        found = (
            SUBSCRIPTIONS.add_columns(organizations.c.id)
            .select_from(joined)
            .where(organizations.c.namespace == namespace, organizations.c.deleted_at.is_(None))
        )
        with self._engine.connect() as connection:
            rows = [dict(row) for row in connection.execute(found).mappings()]
        return {row.pop("id"): Subscription(**row) for row in rows}

    def granted_in(self, namespace: str) -> Mapping[str, frozenset[str]]:
        """See `CatalogVersions.granted_in`."""
        joined = grants.join(organizations, grants.c.organization == organizations.c.id)
        found = (
            select(grants.c.meter, organizations.c.id)
            .distinct()
            .select_from(joined)
            .where(
                organizations.c.namespace == namespace,
                organizations.c.deleted_at.is_(None),
                grants.c.voided_at.is_(None),
            )
        )
        by_slug: dict[str, set[str]] = defaultdict(set)
        with self._engine.connect() as connection:
            for slug, organization in connection.execute(found):
                by_slug[slug].add(organization)
        return {slug: frozenset(having) for slug, having in by_slug.items()}

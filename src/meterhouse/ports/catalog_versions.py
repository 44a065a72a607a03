"""Versions of catalogs, and who is under them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from ..domain.catalog_version import CatalogVersion
from ..domain.plan import Subscription


class CatalogVersions(Protocol):
    """Every method is one transaction. A version is never changed, and never removed."""

    def add_catalog_version(self, version: CatalogVersion) -> None:
        """Raises `AlreadyExists` when the namespace has one of that number."""
        ...

    def newest_catalogs(self) -> Mapping[str, int]:
        """The number of each namespace's newest version. Told from memory: the same mapping while nothing changes."""
        ...

    def catalog_version(self, namespace: str, number: int) -> CatalogVersion | None:
        """A version; None when there is none of that number."""
        ...

    def catalog_versions(self, namespace: str, before: int, limit: int) -> list[CatalogVersion]:
        """The newest versions below a number."""
        ...

    def subscriptions_in(self, namespace: str) -> Mapping[str, Subscription]:
        """Those of all organizations of a namespace that are not deleted, by their ids."""
        ...

    def granted_in(self, namespace: str) -> Mapping[str, frozenset[str]]:
        """Which of them have grants of a meter or a pool that are not voided, by its slug."""
        ...

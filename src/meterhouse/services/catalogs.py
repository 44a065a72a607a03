"""The catalogs a server runs with: one per namespace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..domain.catalog import Catalog, CatalogError
from ..domain.errors import NotFound
from ..domain.meter import Meter
from ..domain.plan import Plan, Subscription


class Catalogs:
    """Looks up namespaces, meters and plans."""

    def __init__(self, catalogs: Iterable[Catalog]):
        """Raises `CatalogError` when two catalogs claim one namespace."""
        self._by_namespace: dict[str, Catalog] = {}
        for catalog in catalogs:
            if catalog.namespace in self._by_namespace:
                raise CatalogError(f"two catalogs have the namespace {catalog.namespace!r}; load only one of them")
            self._by_namespace[catalog.namespace] = catalog

    def __iter__(self) -> Iterator[Catalog]:
        """All catalogs, in the order they were loaded."""
        return iter(self._by_namespace.values())

    def get(self, namespace: str) -> Catalog:
        """The namespace's catalog; raises `NotFound`."""
        catalog = self._by_namespace.get(namespace)
        if catalog is None:
            known = ", ".join(sorted(self._by_namespace))
            raise NotFound(f"unknown namespace {namespace[:60]!r}; this server has {known}")
        return catalog

    def meter(self, namespace: str, slug: str) -> Meter:
        """A meter of the namespace; raises `NotFound`."""
        meters = self.get(namespace).meters
        if slug not in meters:
            raise NotFound(f"unknown meter {slug[:60]!r}; the namespace {namespace} has {', '.join(sorted(meters))}")
        return meters[slug]

    def plan(self, namespace: str, subscription: Subscription | None) -> Plan | None:
        """The subscription's plan; None when it names none, or one that the catalog no longer has."""
        if subscription is None or subscription.plan is None:
            return None
        return self.get(namespace).plans.get(subscription.plan)

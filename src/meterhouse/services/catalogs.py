"""The catalogs a server runs with: one per namespace."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal

from ..domain.catalog import Catalog, CatalogError
from ..domain.errors import Invalid, NotFound
from ..domain.meter import Meter
from ..domain.plan import Plan, Subscription
from ..domain.pool import GRANTED


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

    def rates(self, namespace: str, slug: str) -> Mapping[str, Decimal]:
        """Which meters draw on what grants of a meter or a pool give, and how much one unit of each takes. Raises
        `NotFound` for an unknown one, and `Invalid` for a meter that does not add up."""
        catalog = self.get(namespace)
        if slug in catalog.pools:
            return catalog.pools[slug].rates
        if slug not in catalog.meters:
            known = ", ".join(sorted({*catalog.meters, *catalog.pools}))
            raise NotFound(f"unknown meter {slug[:60]!r}; the namespace {namespace} has {known}")
        if (aggregation := catalog.meters[slug].aggregation) not in GRANTED:
            raise Invalid(
                f"meter: {slug} is a {aggregation}, which does not add up: there are grants and balances of COUNT and "
                "SUM meters, and of pools"
            )
        return {slug: Decimal(1)}

    def plan(self, namespace: str, subscription: Subscription | None) -> Plan | None:
        """The subscription's plan; None when it names none, or one that the catalog no longer has."""
        if subscription is None or subscription.plan is None:
            return None
        return self.get(namespace).plans.get(subscription.plan)

"""The catalogs a server runs with: one per namespace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from threading import Lock
from typing import TypeAlias

from ..domain.catalog import Catalog, CatalogError
from ..domain.catalog_version import CatalogVersion
from ..domain.errors import Invalid, NotFound
from ..domain.meter import Meter
from ..domain.plan import Plan, Subscription
from ..domain.pool import GRANTED
from ..ports.catalog_versions import CatalogVersions

ReadCatalog: TypeAlias = Callable[[CatalogVersion], Catalog]
"""Raises `CatalogError`."""


@dataclass(frozen=True, slots=True)
class BaseCatalog:
    """What a namespace has before its catalog is changed while the server runs."""

    catalog: Catalog
    text: str
    """In TOML."""
    file: str | None = None
    """The file that was named to the server, which stays the truth: nothing stored is read instead."""


class Catalogs:
    """Looks up namespaces, meters and plans. A `Catalog` never changes; a namespace has another one from the moment
    that a version of it is stored, by whatever process."""

    def __init__(self, bases: Iterable[BaseCatalog]):
        """Raises `CatalogError` when two catalogs claim one namespace."""
        self.bases: dict[str, BaseCatalog] = {}
        for base in bases:
            if base.catalog.namespace in self.bases:
                raise CatalogError(f"two catalogs have the namespace {base.catalog.namespace!r}; load only one of them")
            self.bases[base.catalog.namespace] = base
        self._by_namespace = {namespace: base.catalog for namespace, base in self.bases.items()}
        self._numbers: Mapping[str, int] = {}
        self._versions: CatalogVersions | None = None
        self._read: ReadCatalog | None = None
        self._updating = Lock()

    def follow(self, versions: CatalogVersions, read: ReadCatalog) -> None:
        """Reads stored versions from now on. Raises `CatalogError` for one that cannot be used."""
        self._versions, self._read = versions, read
        self._current()

    def __iter__(self) -> Iterator[Catalog]:
        """All catalogs: those of the server in the order they were loaded, then the others."""
        return iter(self._current().values())

    def find(self, namespace: str) -> Catalog | None:
        """The namespace's catalog, if it has one."""
        return self._current().get(namespace)

    def get(self, namespace: str) -> Catalog:
        """The namespace's catalog; raises `NotFound`."""
        catalog = self.find(namespace)
        if catalog is None:
            known = ", ".join(sorted(self._current()))
            raise NotFound(f"unknown namespace {namespace[:60]!r}; this server has {known}")
        return catalog

    def meters(self) -> dict[str, tuple[Meter, ...]]:
        """All meters, by namespace."""
        return {catalog.namespace: tuple(catalog.meters.values()) for catalog in self}

    def _current(self) -> Mapping[str, Catalog]:
        if self._versions is not None and (numbers := self._versions.newest_catalogs()) is not self._numbers:
            with self._updating:
                self._update(numbers)
        return self._by_namespace

    def _update(self, numbers: Mapping[str, int]) -> None:
        """Reads what is newer. A catalog that is not stays the same object: what is derived from it stays as well."""
        assert self._versions is not None
        assert self._read is not None
        found = dict(self._by_namespace)
        for namespace, number in numbers.items():
            base = self.bases.get(namespace)
            if (base is None or base.file is None) and self._numbers.get(namespace, 0) < number:
                version = self._versions.catalog_version(namespace, number)
                assert version is not None  # versions stay
                found[namespace] = self._read(version)
        self._by_namespace, self._numbers = found, numbers

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

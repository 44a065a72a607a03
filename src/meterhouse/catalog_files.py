"""Catalogs, read from their files and from stored versions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from importlib import resources
from pathlib import Path

from .contracts import installed
from .domain.catalog import Catalog, CatalogError
from .domain.catalog_parser import parse_catalog
from .domain.catalog_version import CatalogFormat, CatalogVersion, decode_catalog
from .domain.errors import NotFound
from .ports.catalog_versions import CatalogVersions
from .services.catalogs import BaseCatalog, Catalogs


def load_catalogs(paths: tuple[Path, ...]) -> Catalogs:
    """The named catalogs, or the five built-in ones. Raises `CatalogError`, naming the file and the place."""
    folder = resources.files("meterhouse") / "catalogs"
    sources = (
        {str(path): path for path in paths}
        if paths
        else {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    )
    return Catalogs(_load_catalog(name, source, named=bool(paths)) for name, source in sorted(sources.items()))


def follow_versions(catalogs: Catalogs, versions: CatalogVersions, retained: Iterable[str]) -> None:
    """Has the catalogs read stored versions as well. Raises `CatalogError`, and `NotFound` for an unknown one of the
    namespaces whose events are `retained` for some days only."""
    catalogs.follow(versions, read_version)
    for namespace in retained:
        try:
            catalogs.get(namespace)
        except NotFound as unknown:
            raise NotFound(f"METERHOUSE_RETENTION_DAYS: {unknown}") from None


def _load_catalog(name: str, source: Path | resources.abc.Traversable, *, named: bool) -> BaseCatalog:
    try:
        text = source.read_text("utf-8")
    except OSError as wrong:
        raise CatalogError(f"{name}: cannot be read: {wrong.strerror}; see --catalog and METERHOUSE_CATALOGS") from None
    except UnicodeDecodeError as wrong:
        raise CatalogError(f"{name}: not TOML: {wrong}") from None
    return BaseCatalog(_read_catalog(text, CatalogFormat.TOML, name), text, name if named else None)


def read_version(version: CatalogVersion) -> Catalog:
    """A stored version. Raises `CatalogError`."""
    origin = f"version {version.number} of the catalog of {version.namespace!r}" if version.number else "the catalog"
    catalog = _read_catalog(version.text, version.format, origin)
    meters = {slug: replace(meter, earlier=version.earlier.get(slug, ())) for slug, meter in catalog.meters.items()}
    return replace(catalog, meters=meters)


def _read_catalog(text: str, written: CatalogFormat, origin: str) -> Catalog:
    catalog = parse_catalog(decode_catalog(text, written, origin), origin)
    if catalog.contract is not None and catalog.contract not in installed():
        known = ", ".join(installed())
        raise CatalogError(f"{origin}: the contract {catalog.contract!r} is not installed; there is {known}")
    return catalog

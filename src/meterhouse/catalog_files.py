"""Catalogs, read from their files."""

from __future__ import annotations

import tomllib
from decimal import Decimal
from importlib import resources
from pathlib import Path

from .contracts import installed
from .domain.catalog import Catalog, CatalogError, parse_catalog
from .domain.meter import Meter
from .services.catalogs import Catalogs


def load_catalogs(paths: tuple[Path, ...]) -> Catalogs:
    """The named catalogs, or the five built-in ones. Raises `CatalogError`, naming the file and the place."""
    folder = resources.files("meterhouse") / "catalogs"
    sources = (
        {str(path): path for path in paths}
        if paths
        else {entry.name: entry for entry in folder.iterdir() if entry.name.endswith(".toml")}
    )
    return Catalogs(_load_catalog(name, source) for name, source in sorted(sources.items()))


def _load_catalog(name: str, source: Path | resources.abc.Traversable) -> Catalog:
    try:
        document = tomllib.loads(source.read_text("utf-8"), parse_float=Decimal)
    except OSError as wrong:
        raise CatalogError(f"{name}: cannot be read: {wrong.strerror}; see --catalog and METERHOUSE_CATALOGS") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as wrong:
        raise CatalogError(f"{name}: not TOML: {wrong}") from None
    catalog = parse_catalog(document, name)
    if catalog.contract is not None and catalog.contract not in installed():
        known = ", ".join(installed())
        raise CatalogError(f"{name}: the contract {catalog.contract!r} is not installed; there is {known}")
    return catalog


def meters_by_namespace(catalogs: Catalogs) -> dict[str, tuple[Meter, ...]]:
    """The meters of all catalogs."""
    return {catalog.namespace: tuple(catalog.meters.values()) for catalog in catalogs}

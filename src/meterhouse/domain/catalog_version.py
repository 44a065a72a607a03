"""Versions of catalogs that are changed while the server runs."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

import msgspec

from .catalog import CatalogError
from .meter import EarlierMeaning

MAX_CATALOG_BYTES = 262_144
"""A catalog of a thousand meters has half of it."""


class CatalogFormat(StrEnum):
    """How a catalog is written."""

    TOML = "toml"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class CatalogVersion:
    """A catalog as it was given, with what its text does not tell."""

    namespace: str
    number: int
    """From 1. 0 is the catalog that the server brings along or reads from a file."""
    format: CatalogFormat
    text: str
    created_at: datetime | None
    """None of version 0."""
    actor: str
    """Who gave it."""
    reason: str | None = None
    restored: int | None = None
    """The number of the version that it is a copy of."""
    earlier: dict[str, tuple[EarlierMeaning, ...]] = field(default_factory=dict)
    """What its meters meant before, by their slugs."""


def decode_catalog(text: str, written: CatalogFormat, origin: str) -> dict[str, Any]:
    """What `parse_catalog` reads. Raises `CatalogError`."""
    try:
        if written is CatalogFormat.TOML:
            return tomllib.loads(text, parse_float=Decimal)
        return msgspec.json.Decoder(dict[str, Any], float_hook=Decimal).decode(text)
    except (tomllib.TOMLDecodeError, msgspec.DecodeError, RecursionError, ArithmeticError) as wrong:
        raise CatalogError(f"{origin}: not {written.upper()}: {wrong}") from None

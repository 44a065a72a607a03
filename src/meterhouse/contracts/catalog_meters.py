"""Changing the meters of a namespace's catalog, for contracts whose clients make meters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..domain.catalog_version import CatalogFormat, decode_catalog
from ..services.catalog_changes import CatalogDraft
from .namespace_contract import Call, Services

_document = msgspec.json.Encoder(decimal_format="number")


def change_meters(
    call: Call, services: Services, changed: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], reason: str
) -> None:
    """Makes a new version of the catalog, with other tables of meters. Raises `CatalogError` for one that cannot be
    used, `CatalogOfFile`, and `CatalogChanged` when somebody else was faster."""
    newest = services.catalog_changes.newest(call.namespace)
    document = decode_catalog(newest.text, newest.format, "the catalog")
    document["meters"] = changed(document.get("meters", []))
    text = _document.encode(document).decode()
    draft = CatalogDraft(call.namespace, CatalogFormat.JSON, text, onto=newest.number, reason=reason)
    services.catalog_changes.apply(draft, call.actor)

"""Changing the meters of a namespace's catalog, for contracts whose clients make meters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..domain.catalog_version import CatalogFormat, decode_catalog
from ..domain.errors import AlreadyExists
from ..services.catalog_changes import CatalogDraft, CatalogOfFile
from .namespace_contract import Call, Services

_MOST_TRIES = 50
_document = msgspec.json.Encoder(decimal_format="number")


def change_meters(
    call: Call, services: Services, changed: Callable[[list[dict[str, Any]]], list[dict[str, Any]]], reason: str
) -> None:
    """Makes a new version of the catalog, with other tables of meters. Where somebody else was faster, `changed` is
    called again with what there is then. Raises what it raises, `CatalogError` for a catalog that cannot be used,
    `CatalogOfFile`, and `AlreadyExists` where others are faster again and again."""
    for _ in range(_MOST_TRIES):
        newest = services.catalog_changes.newest(call.namespace)
        document = decode_catalog(newest.text, newest.format, "the catalog")
        document["meters"] = changed(document.get("meters", []))
        text = _document.encode(document).decode()
        draft = CatalogDraft(call.namespace, CatalogFormat.JSON, text, onto=newest.number, reason=reason)
        try:
            outcome = services.catalog_changes.apply(draft, call.actor)
        except CatalogOfFile:
            raise
        except AlreadyExists:
            continue
        if outcome.stored or outcome.version.number == newest.number:
            return  # else somebody else has made the very same version
    raise AlreadyExists(f"the catalog of {call.namespace!r} is changed by others again and again: send this again")

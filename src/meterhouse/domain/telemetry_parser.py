"""Reading the `[[telemetry]]` tables of catalogs."""

from __future__ import annotations

from typing import Any

from .catalog_tables import TableReader
from .event import SYSTEM_PREFIX
from .meter import Where
from .telemetry import Signal, TelemetryRule

RULE_KEYS = frozenset({"slug", "signal", "metric", "event_type", "organization", "value", "data", "where"})
_MOST_RULES = 100
_MOST_PROPERTIES = 50
_DEFAULT_ORGANIZATION = "meterhouse.organization"


def parse_telemetry(reader: TableReader, document: dict[str, Any]) -> tuple[TelemetryRule, ...]:
    """All rules of a catalog. Raises `CatalogError`."""
    tables = reader.tables(document, "telemetry")
    if len(tables) > _MOST_RULES:
        raise reader.error(f"there are more than {_MOST_RULES} [[telemetry]]")
    rules = tuple(_rule(reader, table, f"telemetry {number}") for number, table in enumerate(tables, 1))
    slugs = [rule.slug for rule in rules]
    if len(set(slugs)) != len(slugs):
        raise reader.error("two [[telemetry]] have the same slug")
    return rules


def _rule(reader: TableReader, table: dict[str, Any], where: str) -> TelemetryRule:
    reader.known_keys(table, RULE_KEYS, where)
    slug = reader.slug(table.get("slug"), f"{where}: slug")
    where = f"telemetry {slug!r}"
    signal = reader.choice(table, "signal", Signal, where, Signal.SPAN)
    event_type = reader.text(table, "event_type", where, None)
    if event_type.startswith(SYSTEM_PREFIX):
        raise reader.error(f"{where}: event types that begin with {SYSTEM_PREFIX!r} are Meterhouse's own")
    of_sum = signal is Signal.SUM
    for key in ("metric", "value"):
        if of_sum != bool(table.get(key)):
            raise reader.error(f"{where}: `{key}` " + ("is missing" if of_sum else 'belongs to signal = "sum" only'))
    return TelemetryRule(
        slug=slug,
        signal=signal,
        event_type=event_type,
        organization=reader.text(table, "organization", where, _DEFAULT_ORGANIZATION),
        data=_data(reader, table, where),
        metric=reader.text(table, "metric", where),
        value=reader.text(table, "value", where),
        where=_where(reader, table, where),
    )


def _data(reader: TableReader, table: dict[str, Any], where: str) -> tuple[tuple[str, str], ...]:
    data = table.get("data", {})
    if not isinstance(data, dict) or len(data) > _MOST_PROPERTIES:
        raise reader.error(f"{where}: data must be a table of at most {_MOST_PROPERTIES} properties = attributes")
    return tuple((name, reader.text(data, name, f"{where}, data", None)) for name in data)


def _where(reader: TableReader, table: dict[str, Any], where: str) -> Where:
    filters = table.get("where", {})
    if not isinstance(filters, dict) or len(filters) > _MOST_PROPERTIES:
        raise reader.error(f"{where}: where must be a table of at most {_MOST_PROPERTIES} attributes")
    found = tuple((name, reader.names(filters, name, f"{where}, where")) for name in sorted(filters))
    if empty := next((name for name, texts in found if not texts), None):
        raise reader.error(f"{where}: where {empty!r} must be a text or a list of texts")
    return found

"""Why an event does not count, in OpenMeter's words."""

from __future__ import annotations

from decimal import Decimal

from ...domain.catalog import Catalog
from ...domain.errors import Invalid
from ...domain.event import Event
from ...domain.json_reading import Property, decode_data, value_at
from ...domain.meter import Aggregation, Meter
from ...domain.quantity import parse_quantity
from .json_path import json_path

_NOT_FINITE = {"nan": "NaN"} | {sign + name: "infinity" for sign in ("", "+", "-") for name in ("inf", "infinity")}


class Validation:
    """Judges events by the meters of a catalog."""

    def __init__(self, catalog: Catalog):
        self._meters = catalog.meters_by_event_type

    def errors(self, event: Event) -> list[str]:
        """What is wrong with an event; nothing where every meter of its type counts it."""
        meters = self._meters.get(event.type)
        if meters is None:
            return [f"no meter found for event type: {event.type}"]
        data = decode_data(event.data)
        found = [error for meter in meters for path in meter.values if (error := _error(meter, path, data)) is not None]
        return [*dict.fromkeys(found)]


def _error(meter: Meter, path: str, data: Property) -> str | None:
    value = value_at(data, path)
    if value is None:
        if not data:
            return "invalid event: null and missing value property"
        return f'invalid event: missing value property: "{json_path(path)}"'
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        return None if not isinstance(value, list | dict) else _unsupported(value)
    if isinstance(value, bool) or not isinstance(value, str | int | Decimal):
        return _unsupported(value)
    text = str(value)
    if (odd := _NOT_FINITE.get(text.lower())) is not None:
        return f"invalid event: value cannot be {odd}"
    try:
        parse_quantity(text)
    except Invalid:
        return f"invalid event: value cannot be parsed as float64: {text[:100]}"
    return None


def _unsupported(value: Property) -> str:
    kind = "boolean" if isinstance(value, bool) else "array" if isinstance(value, list) else "object"
    return f"invalid event: unsupported value property type: {kind}"

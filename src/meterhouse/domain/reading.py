"""What a meter reads from a single event: the one place that says so for everything written in Python.

`storage.clickhouse.engine.statement` says the same in SQL; tests/conformance compares the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .event import Event
from .json_reading import Property, decode_data, numbers_in, read_text
from .meter import Aggregation, Meter
from .quantity import ZERO, add

_ONE = (Decimal(1),)


class PropertyReader:
    """The properties of an event's data, decoded when the first text is asked for."""

    def __init__(self, event: Event):
        self._event = event
        self._data: Property = None

    def text(self, path: str) -> str:
        """The text of a property, "" where there is none."""
        if self._data is None:
            self._data = decode_data(self._event.data)
        return read_text(self._data, path)

    def numbers(self) -> dict[str, Decimal | int]:
        """Every quantity by its path; an event that comes from the engine has them in its data only."""
        return self._event.numbers or numbers_in(decode_data(self._event.data))


@dataclass(frozen=True, slots=True)
class Reading:
    """What one event is to one meter of its type."""

    numbers: tuple[Decimal, ...] = ()
    """What it counts for: 1 of a COUNT, else the quantities that are read."""
    text: str = ""
    """UNIQUE_COUNT: what is distinct; STATE_COUNT: the state."""
    entity: str = ""
    reason: str = ""
    """Why the meter leaves it out; "" when it does not."""

    @property
    def value(self) -> Decimal | None:
        """The quantities added up; None where there are none."""
        return add(self.numbers) if self.numbers else None


_COUNTED = Reading(_ONE)


def reading_of(meter: Meter, properties: PropertyReader) -> Reading:
    """What the meter reads from an event of its type; it has one meaning."""
    for path, wanted in meter.where:
        if (found := properties.text(path)) not in wanted:
            return Reading(reason=f"data.{path} is {found[:60]!r}" if found else f"data.{path} is absent")
    if meter.aggregation is Aggregation.COUNT:
        return _COUNTED
    if not meter.aggregation.numeric:
        texts = [properties.text(path) for path in meter.texts]
        entity, text = texts if len(texts) == 2 else ("", texts[0])
        absent = next((path for path, found in zip(meter.texts, texts, strict=True) if not found), None)
        return Reading(text=text, entity=entity, reason="" if absent is None else f"data.{absent} is absent")
    numbers = properties.numbers()
    absent = next((path for path in meter.required_numbers if path not in numbers), None)
    if absent is not None:
        return Reading(reason=f"data.{absent} is no quantity")
    return Reading(tuple(Decimal(numbers.get(path, ZERO)) for path in meter.numbers))


def groups_of(meter: Meter, properties: PropertyReader) -> dict[str, str]:
    """The texts of the properties that the meter can be broken down by."""
    return {name: properties.text(meter.path_of(name)) for name in meter.group_by}

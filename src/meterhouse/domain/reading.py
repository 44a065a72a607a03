"""What a meter reads from a single event."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from .event import Event
from .json_reading import decode_data, numbers_in, read_text
from .meter import Aggregation, Meter
from .quantity import ZERO, add


@dataclass(frozen=True, slots=True)
class Reading:
    """What one event is to one meter of its type."""

    value: Decimal | None = None
    """What it counts for: 1 of a COUNT, its number of the others; None where it has none."""
    text: str = ""
    """UNIQUE_COUNT: what is distinct; STATE_COUNT: the state."""
    entity: str = ""
    because: str = ""
    """Why the meter leaves it out; "" when it does not."""


def reading_of(meter: Meter, event: Event) -> Reading:
    """What the meter, which is of the event's type, reads."""
    data = decode_data(event.data)
    if meter.aggregation is Aggregation.COUNT:
        return Reading(Decimal(1))
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        text = read_text(data, meter.values[0])
        return Reading(text=text, because="" if text else f"data.{meter.values[0]} is absent")
    if meter.aggregation is Aggregation.STATE_COUNT:
        entity, state = read_text(data, meter.entity), read_text(data, meter.state)
        absent = next((name for name, text in ((meter.entity, entity), (meter.state, state)) if not text), "")
        return Reading(text=state, entity=entity, because=f"data.{absent} is absent" if absent else "")
    numbers = numbers_in(data)
    absent = next((name for name in meter.values if name not in numbers), "")
    if absent and not meter.optional:
        return Reading(because=f"data.{absent} is no quantity")
    return Reading(add(Decimal(numbers.get(name, ZERO)) for name in meter.values))


def groups_of(meter: Meter, event: Event) -> dict[str, str]:
    """The texts of the properties that the meter can be broken down by."""
    data = decode_data(event.data)
    return {path: read_text(data, path) for path in meter.group_by}

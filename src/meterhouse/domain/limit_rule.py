"""Rules about how much may be used: of whom, in which window, and what happens beyond."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum

from .event import Event
from .json_reading import decode_data, read_text
from .meter import Aggregation, Meter
from .meter_needs import counts_where
from .quantity import EXACT, ZERO, add

ENFORCED = frozenset({Aggregation.SUM, Aggregation.COUNT})
"""Aggregations of which every event adds what it has: the only ones that can be held to a limit event by event."""


class LimitWindow(StrEnum):
    """In which time a limit may be used up."""

    PERIOD = "period"
    """The organization's usage period."""
    DAY = "day"
    """A day in UTC."""
    HOUR = "hour"
    """An hour in UTC."""


class LimitMode(StrEnum):
    """What happens to what a limit has no room for."""

    HARD = "hard"
    """It is refused."""
    SOFT = "soft"
    """It is granted, and the answer says that the limit is exceeded."""
    SHADOW = "shadow"
    """It is granted, and only counted: what would have been refused."""


@dataclass(frozen=True, slots=True)
class LimitRule:
    """How much of a meter may be used in a window, by the whole organization or by each value of a property."""

    meter: str
    amount: Decimal | None = None
    """None: what the organization's plan, overrides and grants come to."""
    per: str | None = None
    """One of the meter's `group_by`: the limit is of each of its values. None: of the organization."""
    window: LimitWindow = LimitWindow.PERIOD
    mode: LimitMode = LimitMode.HARD

    def same_place(self, other: LimitRule) -> bool:
        """Whether both are of the same usage."""
        return (self.meter, self.per, self.window) == (other.meter, other.per, other.window)


@dataclass(frozen=True, slots=True)
class Limited:
    """What limits are of: a meter, or a pool that meters draw on."""

    slug: str
    draws: tuple[tuple[Meter, Decimal], ...]
    """The meters, and how much one unit of each takes; of a meter itself, one."""

    @property
    def event_types(self) -> frozenset[str]:
        """The types of the events that can take something."""
        return frozenset(meter.event_type for meter, _ in self.draws)

    def taken_by(self, event: Event) -> Decimal:
        """How much an event takes."""
        return add(EXACT.multiply(rate, contribution(meter, event)) for meter, rate in self.draws)

    def text_of(self, event: Event, name: str) -> str:
        """The value of a property by which a limit is told apart; empty where the event has none."""
        path = next((meter.path_of(name) for meter, _ in self.draws if meter.event_type == event.type), name)
        return read_text(decode_data(event.data), path)


def contribution(meter: Meter, event: Event) -> Decimal:
    """What an event adds to a meter of `ENFORCED`; 0 where it does not count."""
    meter = meter.meant_at(event.time)
    if event.type != meter.event_type or (meter.where and not counts_where(meter.where, decode_data(event.data))):
        return ZERO
    if meter.aggregation is Aggregation.COUNT:
        return Decimal(1)
    return add(Decimal(event.numbers.get(path, ZERO)) for path in meter.values)

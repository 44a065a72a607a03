"""Questions about usage over any span of time, and their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from enum import StrEnum

from .cost import Amounts
from .meter import Meter
from .period import Period
from .quantity import percentage, subtract

ORGANIZATION = "organization"
"""The group that every event has beside the properties of its data."""


class Window(StrEnum):
    """How long the windows are that a span is divided into, each on the clocks of the query's time zone."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    """From Monday."""
    MONTH = "month"
    NONE = "none"
    """The span is not divided."""


class Compare(StrEnum):
    """What an answer is compared with."""

    PREVIOUS = "previous"
    """The span just before, as many local units."""
    YEAR = "year"
    """The span a calendar year earlier."""


@dataclass(frozen=True, slots=True)
class UsageQuery:
    """A question as it was asked. The service finds out which instants it is about."""

    meters: tuple[str, ...]
    """Slugs, each once."""
    start: datetime | date | None = None
    """An instant, or a local date of the time zone, which stands for its first instant."""
    end: datetime | date | None = None
    """Exclusive, as the end of every period. None with a start: the moment of the question."""
    range: str = "current_period"
    """Where there is no start: `current_period`, `previous_period`, or a number of local units, the present one
    included: `24h`, `30d`, `12w`, `12mo`."""
    window: Window = Window.NONE
    timezone: str = "UTC"
    group_by: tuple[str, ...] = ()
    filters: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Properties, each with the texts it may have."""
    top: int = 20
    """The most groups of a meter; all the rest is one other."""
    compare: Compare | None = None
    as_of: datetime | None = None
    """Answers with what was known then."""
    at_least: str | None = None
    """A position that the answer must include."""
    costs: bool = False
    """Answers what the usage costs, too."""


@dataclass(frozen=True, slots=True)
class CostFigures:
    """What usage costs, in all and in each window. The minimum of a usage period is in neither."""

    total: Amounts
    windows: tuple[Amounts, ...]


@dataclass(frozen=True, slots=True)
class UsageFigures:
    """A total, and the total of each window. None where a MIN, MAX, AVG or LATEST has no event to speak of."""

    total: Decimal | None
    windows: tuple[Decimal | None, ...]
    """As many as the answer has windows; none when the span is not divided."""
    previous: Decimal | None
    """The total of the span that is compared with; None when there is none."""
    costs: CostFigures | None = None
    """None where the query does not ask for them, or the meter has no prices."""

    @property
    def change_percent(self) -> Decimal | None:
        """By how many percent the total is more than the previous one, not rounded; None where there is no previous
        total, or it is 0."""
        if self.total is None or not self.previous:
            return None
        return percentage(subtract(self.total, self.previous), self.previous.copy_abs())


@dataclass(frozen=True, slots=True)
class GroupUsage:
    """One group of a meter."""

    group: Mapping[str, str]
    """By the names of `group_by`; "" stands for events without the property."""
    figures: UsageFigures
    share: Decimal | None
    """Its part of the meter's total, from 0 to 1 where all events count upwards. None where parts do not add up to the
    total (all but COUNT, SUM and STATE_COUNT), or the total is 0."""


@dataclass(frozen=True, slots=True)
class OtherUsage:
    """All groups beside the top ones, together: not a sum, but what the meter makes of their events."""

    groups: int
    figures: UsageFigures
    share: Decimal | None


@dataclass(frozen=True, slots=True)
class MeterAnswer:
    """What is answered of one meter."""

    meter: Meter
    figures: UsageFigures
    change_percent: Decimal | None
    """From the previous total to this one; None where there is no previous total, or it is 0."""
    groups: tuple[GroupUsage, ...] | None
    """By total, then by name; None when the query does not group."""
    other: OtherUsage | None
    """None when every group is among the groups."""
    complete_from: datetime | None = None
    """Where the span begins before it, earlier events may lack: they were reduced before there was such a meter."""
    unpriced: Decimal | None = None
    """How much of the total no price was in force for; None where there are no costs."""


@dataclass(frozen=True, slots=True)
class WindowSpan:
    """One window of an answer."""

    period: Period
    label: str
    """As a person of the time zone would call it: 2026-11-01, 2026-11-01T13:00-05:00, 2026-W45, 2026-11."""


@dataclass(frozen=True, slots=True)
class UsageAnswer:
    """The answer to a `UsageQuery`, all of it from one state of the store."""

    query: UsageQuery
    span: Period
    """A side is open only where all of the time is counted, in one window."""
    compared: Period | None
    """The span that is compared with."""
    windows: tuple[WindowSpan, ...]
    """None when the span is not divided."""
    as_of: datetime
    position: str
    meters: tuple[MeterAnswer, ...]
    lost_before: datetime | None = None
    """The instant before which events may have been stored that are lost."""

"""What all of OnePin's questions are asked about: a workspace, and windows of local days, weeks and months."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Literal, TypeAlias
from zoneinfo import ZoneInfo

import msgspec

from ...domain import local_time
from ...domain.errors import Invalid
from ...domain.period import Period
from ...ports.usage_reader import UsageReader
from ..contract import Answer, DateTime, Refusal, Refused, Request, TokenOptions, timestamp

Range: TypeAlias = Literal["30d", "60d", "90d"]
View: TypeAlias = Literal["daily", "weekly", "monthly"]
Unit: TypeAlias = Literal["day", "week", "month"]

RANGES: dict[Range, int] = {"30d": 30, "60d": 60, "90d": 90}
VIEWS: tuple[View, ...] = ("daily", "weekly", "monthly")


class OnepinOptions(TokenOptions, frozen=True, kw_only=True):
    """What the product's page and its client's documentation leave open."""

    end_style: Annotated[
        Literal["last_second", "exclusive"],
        msgspec.Meta(description="Ends as the page prints them, one second early; or exclusive, as the client has it."),
    ] = "last_second"
    activity_metric: Annotated[
        Literal["credits", "lines"], msgspec.Meta(description="What `activity.total`, `avg` and `peak` are about.")
    ] = "credits"


class Meta(msgspec.Struct):
    """Which answer this is."""

    request_id: str
    timestamp: DateTime


class _Envelope(msgspec.Struct):
    data: msgspec.Raw
    meta: Meta


class Span(msgspec.Struct):
    """A span of time, in UTC."""

    start: DateTime
    end: DateTime


@dataclass(frozen=True, slots=True)
class Zone:
    """A time zone, and the date it is there until the next one."""

    name: str
    tz: ZoneInfo
    today: date
    until: datetime

    def days(self, length: Range) -> Windows:
        """The local days of a range."""
        return self._windows("day", f"Last {RANGES[length]} days", local_time.days(self.today, RANGES[length]))

    def view(self, name: View) -> Windows:
        """The windows of an activity view."""
        if name == "daily":
            return self._windows("day", "Last 7 days", local_time.days(self.today, 7))
        if name == "weekly":
            return self._windows("week", "Last 12 weeks", local_time.weeks(self.today, 12))
        return self._windows("month", "Last 12 months", local_time.months(self.today, 12), "%Y-%m")

    def _windows(self, unit: Unit, range_label: str, starts: Sequence[date], label: str = "%Y-%m-%d") -> Windows:
        labels = [start.strftime(label) for start in starts[:-1]]
        return Windows(unit, range_label, labels, local_time.edges(list(starts), self.tz))


@dataclass(frozen=True, slots=True)
class Windows:
    """Adjoining windows: a label each, and one edge more than there are windows."""

    unit: Unit
    range_label: str
    labels: list[str]
    edges: list[datetime]

    @property
    def period(self) -> Period:
        """All of them together."""
        return Period(self.edges[0], self.edges[-1])


def check_workspace(request: Request, usage: UsageReader) -> None:
    """Raises `Refused` when a header asks for another workspace than the credential's own."""
    if request.headers.get("x-workspace-id") not in (None, "", usage.organization.id):
        raise Refused(Refusal.FORBIDDEN)


def zone(request: Request, usage: UsageReader) -> Zone:
    """The time zone that is asked for; raises `Refused` for an unknown one."""
    name = request.parameter("timezone")
    if name is None:
        name = "UTC"
    try:
        tz = local_time.zone(name)
    except Invalid as wrong:
        raise Refused(Refusal.INVALID, "timezone", str(wrong)) from None
    return Zone(name, tz, local_time.local_date(usage.now, tz), local_time.end_of_date(usage.now, tz))


def span(request: Request, start: datetime, end: datetime) -> Span:
    """Start and end as they are printed: what is counted is the same in either style."""
    if request.options.end_style == "last_second":
        end -= timedelta(seconds=1)
    return Span(timestamp(start), timestamp(end))


def meta(request: Request) -> Meta:
    """The answer's id and moment."""
    return Meta(request.request_id, timestamp(request.now))


def lasting(data: object, until: datetime) -> Answer:
    """An answer whose data holds until then, beside the meta of each request."""
    return Answer(200, data, valid_until=until, envelope=_envelope)


def _envelope(data: msgspec.Raw, request_id: str, now: datetime) -> object:
    return _Envelope(data, Meta(request_id, timestamp(now)))

"""OnePin: a workspace's credits, lines and runs in local days, weeks and months of any time zone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from typing import Literal
from zoneinfo import ZoneInfo

import msgspec

from ..domain import local_time
from ..domain.errors import Invalid
from ..domain.meter import StateWindow
from ..domain.organization import Key, KeyFormat
from ..domain.period import MONTHLY, Period, format_instant, period_at
from ..domain.quantity import ZERO, add, divide, percentage, plain, round_half_even
from ..ports import UsageReader
from .contract import BASE62, Answer, Contract, Refusal, Refused, Request, Route, bearer

END_STYLE: Literal["last_second", "exclusive"] = "last_second"
"""How the ends of spans are printed: the page prints the last second, the client's documents call ends exclusive."""
ACTIVITY_METRIC: Literal["credits", "lines"] = "credits"
"""What `activity.total`, `avg` and `peak` are about."""

RANGES = {"30d": 30, "60d": 60, "90d": 90}


class Span(msgspec.Struct):
    """A span of time, in UTC."""

    start: str
    end: str


class Credits(msgspec.Struct):
    """The caller's own credits of the billing period."""

    used: int
    quota: int | None
    percent: Decimal | None


class Total(msgspec.Struct):
    """One number over the range."""

    total: int


class Lines(msgspec.Struct):
    """Lines over the range; the average is null when there are none."""

    total: int
    avg_chars_per_line: Decimal | None


class Audio(msgspec.Struct):
    """Audio delivered in the range."""

    total_ms: int


class Runs(msgspec.Struct):
    """Runs created in the range, by the status they have now."""

    total: int
    completed: int
    failed: int
    cancelled: int
    running: int
    pending: int
    paused: int


class Bucket(msgspec.Struct):
    """One window of the activity view."""

    label: str
    start: str
    end: str
    credits: int
    characters: int
    lines: int
    runs: int


class Peak(msgspec.Struct):
    """The bucket with the most; `value` is that most."""

    value: int
    label: str
    start: str
    end: str


class Day(msgspec.Struct):
    """One local date of the range."""

    date: str
    credits: int
    characters: int
    lines: int
    runs: int


class Activity(msgspec.Struct):
    """The activity view; `peak` is null when nothing was used."""

    view: str
    bucket_unit: str
    range_label: str
    total: int
    avg: Decimal
    buckets: list[Bucket]
    peak: Peak | None


class Data(msgspec.Struct):
    """The summary itself."""

    range: str
    activity_view: str
    timezone: str
    period: Span
    credits: Credits
    characters: Total
    lines: Lines
    audio: Audio
    corrected: Total
    runs: Runs
    activity: Activity
    daily: list[Day]


class Meta(msgspec.Struct):
    """Which answer this is."""

    request_id: str
    timestamp: str


class Body(msgspec.Struct):
    """The 200 answer."""

    data: Data
    meta: Meta


class FieldProblem(msgspec.Struct):
    """A parameter at fault."""

    field: str
    message: str


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    """What went wrong."""

    code: str
    message: str
    details: list[FieldProblem] | None = None


class Error(msgspec.Struct):
    """Every error."""

    error: ErrorDetail
    meta: Meta


@dataclass(frozen=True, slots=True)
class _View:
    unit: str
    label: str
    starts: Sequence[date]
    format: str


@dataclass(frozen=True, slots=True)
class _Series:
    """Four meters over the windows of one view, as decimals."""

    credits: list[Decimal]
    characters: list[Decimal]
    lines: list[Decimal]
    runs: list[Decimal]

    @classmethod
    def over(cls, usage: UsageReader, edges: list[datetime]) -> _Series:
        return cls(*(usage.windows(meter, edges) for meter in ("credits", "characters", "lines", "runs")))


def summary(request: Request, key: Key, usage: UsageReader) -> Answer:
    """The workspace over a range of local days, with an activity view."""
    workspace = request.headers.get("x-workspace-id")
    if workspace and workspace != usage.organization.id:
        raise Refused(Refusal.FORBIDDEN)
    length = _choice(request, "range", tuple(RANGES), "30d")
    view_name = _choice(request, "activity_view", ("daily", "weekly", "monthly"), "daily")
    zone_name = request.query.get("timezone", "UTC")
    try:
        tz = local_time.zone(zone_name)
    except Invalid as wrong:
        raise Refused(Refusal.INVALID, "timezone", str(wrong)) from None
    today = local_time.local_date(usage.now, tz)
    days = local_time.days(today, RANGES[length])
    day_edges = local_time.edges(days, tz)
    range_ = Period(day_edges[0], day_edges[-1])
    daily = _Series.over(usage, day_edges)
    characters, lines = add(daily.characters), add(daily.lines)
    states = usage.states("runs", range_, StateWindow.CREATED)
    data = Data(
        range=length,
        activity_view=view_name,
        timezone=zone_name,
        period=Span(format_instant(day_edges[0]), _end(day_edges[-1])),
        credits=_own_credits(key, usage),
        characters=Total(math.floor(characters)),
        lines=Lines(int(lines), plain(round_half_even(divide(characters, lines), 1)) if lines else None),
        audio=Audio(math.floor(usage.total("audio_ms", range_))),
        corrected=Total(math.floor(usage.total("corrected_words", range_))),
        runs=_runs(states),
        activity=_activity(usage, view_name, _view(view_name, today), tz),
        daily=[
            Day(day.isoformat(), *map(math.floor, values))
            for day, *values in zip(days[:-1], daily.credits, daily.characters, daily.lines, daily.runs, strict=True)
        ],
    )
    return Answer(200, Body(data, _meta(request)))


def _own_credits(key: Key, usage: UsageReader) -> Credits:
    """What the key's creator used in the billing period: months from the anchor unless the subscription says more."""
    period = usage.period()
    if usage.subscription is None:
        period = period_at(usage.organization.created_at, MONTHLY, usage.now)
    if key.user_id is None:
        return Credits(0, None, None)
    used = usage.total("credits", period, {"user_id": key.user_id})
    quota = usage.limit("credits")
    percent = percentage(used, quota) if quota else None
    return Credits(
        used=math.floor(used),
        quota=None if quota is None else math.floor(quota),
        percent=None if percent is None else plain(round_half_even(min(max(percent, ZERO), Decimal(100)), 1)),
    )


def _runs(states: dict[str, Decimal]) -> Runs:
    names = ("completed", "failed", "cancelled", "running", "pending", "paused")
    return Runs(int(add(states.values())), *(int(states.get(name, ZERO)) for name in names))


def _view(name: str, today: date) -> _View:
    if name == "daily":
        return _View("day", "Last 7 days", local_time.days(today, 7), "%Y-%m-%d")
    if name == "weekly":
        return _View("week", "Last 12 weeks", local_time.weeks(today, 12), "%Y-%m-%d")
    return _View("month", "Last 12 months", local_time.months(today, 12), "%Y-%m")


def _activity(usage: UsageReader, name: str, view: _View, tz: ZoneInfo) -> Activity:
    edges = local_time.edges(list(view.starts), tz)
    series = _Series.over(usage, edges)
    buckets = [
        Bucket(start.strftime(view.format), format_instant(edge), _end(end), *map(math.floor, values))
        for start, edge, end, *values in zip(
            view.starts[:-1],
            edges[:-1],
            edges[1:],
            series.credits,
            series.characters,
            series.lines,
            series.runs,
            strict=True,
        )
    ]
    values = series.credits if ACTIVITY_METRIC == "credits" else series.lines
    total, most = add(values), max(values)
    peak = buckets[values.index(most)]
    return Activity(
        view=name,
        bucket_unit=view.unit,
        range_label=view.label,
        total=math.floor(total),
        avg=plain(round_half_even(divide(total, len(values)), 1)),
        buckets=buckets,
        peak=Peak(math.floor(most), peak.label, peak.start, peak.end) if most > 0 else None,
    )


def _end(edge: datetime) -> str:
    return format_instant(edge - timedelta(seconds=1) if END_STYLE == "last_second" else edge)


def _choice(request: Request, name: str, allowed: tuple[str, ...], default: str) -> str:
    value = request.query.get(name, default)
    if value not in allowed:
        raise Refused(Refusal.INVALID, name, f"must be one of {', '.join(allowed)}")
    return value


def _meta(request: Request) -> Meta:
    return Meta(request.request_id, format_instant(request.now))


_REFUSALS = {
    Refusal.NO_CREDENTIAL: (401, "UNAUTHORIZED", "Missing credentials"),
    Refusal.BAD_CREDENTIAL: (401, "UNAUTHORIZED", "Invalid credentials"),
    Refusal.ORGANIZATION_GONE: (404, "NOT_FOUND", "Workspace not found"),
    Refusal.FORBIDDEN: (403, "FORBIDDEN", "Access to this workspace is denied"),
    Refusal.INVALID: (422, "VALIDATION_ERROR", "Request validation failed"),
    Refusal.NOT_FOUND: (404, "NOT_FOUND", "Not found"),
    Refusal.METHOD_NOT_ALLOWED: (405, "METHOD_NOT_ALLOWED", "Use GET"),
    Refusal.INTERNAL: (500, "INTERNAL_ERROR", "Internal error"),
}


def refuse(request: Request, refused: Refused) -> Answer:
    """An error object beside the meta object, with details of a validation only."""
    status, code, message = _REFUSALS[refused.refusal]
    details = [FieldProblem(refused.field, refused.message)] if refused.refusal is Refusal.INVALID else None
    return Answer(status, Error(ErrorDetail(code, message, details), _meta(request)))


def _query(name: str, values: list[str], default: str) -> dict[str, object]:
    return {"name": name, "in": "query", "schema": {"type": "string", "enum": values, "default": default}}


CONTRACT = Contract(
    name="onepin",
    title="OnePin workspace usage",
    source="OnePin API reference, GET /api/v1/usage/summary",
    key_format=KeyFormat("op_live_", BASE62, 32),
    default_scopes=frozenset({"workspace:read"}),
    scopes=frozenset({"workspace:read", "events:write"}),
    security={"bearer": {"type": "http", "scheme": "bearer"}},
    credential=bearer,
    refuse=refuse,
    error=Error,
    routes=(
        Route(
            paths=("/api/v1/usage/summary",),
            handle=summary,
            scope="workspace:read",
            summary="Usage of the workspace",
            response=Body,
            parameters=(
                _query("range", list(RANGES), "30d"),
                _query("activity_view", ["daily", "weekly", "monthly"], "daily"),
                {"name": "timezone", "in": "query", "schema": {"type": "string", "default": "UTC"}},
                {"name": "X-Workspace-Id", "in": "header", "schema": {"type": "string"}},
            ),
        ),
    ),
)

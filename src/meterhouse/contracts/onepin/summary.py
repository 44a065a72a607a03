"""`GET /usage/summary`: the workspace over a range of local days, with an activity view."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Annotated

import msgspec

from ...domain.meter import StateWindow
from ...domain.organization import Caller
from ...domain.period import MONTHLY, Period, earliest, period_at
from ...domain.quantity import ZERO, add, divide, percentage, plain, round_half_even
from ...ports.usage_reader import UsageReader
from ..contract import Answer, Date, DateTime, Request
from .window import RANGES, VIEWS, Meta, Range, Span, Unit, View, Windows, check_workspace, lasting, span, zone

Percent = Annotated[Decimal, msgspec.Meta(extra_json_schema={"minimum": 0, "maximum": 100})]


class Credits(msgspec.Struct):
    """The caller's own credits of the billing period."""

    used: int
    quota: int | None
    percent: Percent | None


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
    start: DateTime
    end: DateTime
    credits: int
    characters: int
    lines: int
    runs: int


class Peak(msgspec.Struct):
    """The bucket with the most; `value` is that most."""

    value: int
    label: str
    start: DateTime
    end: DateTime


class Day(msgspec.Struct):
    """One local date of the range."""

    date: Date
    credits: int
    characters: int
    lines: int
    runs: int


class Activity(msgspec.Struct):
    """The activity view; `peak` is null when nothing was used."""

    view: View
    bucket_unit: Unit
    range_label: str
    total: int
    avg: Decimal
    buckets: list[Bucket]
    peak: Peak | None


class Summary(msgspec.Struct):
    """The summary itself."""

    range: Range
    activity_view: View
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


class SummaryBody(msgspec.Struct):
    """The 200 answer."""

    data: Summary
    meta: Meta


@dataclass(frozen=True, slots=True)
class _Counters:
    """What the summary counts in one window or more, as decimals."""

    credits: Decimal
    characters: Decimal
    lines: Decimal
    corrected_words: Decimal
    audio_ms: Decimal
    runs: dict[str, Decimal]

    @classmethod
    def sum(cls, parts: Sequence[_Counters]) -> _Counters:
        """All of them together; nothing at all for no parts, as a day that a zone skipped has none."""
        states = {state for part in parts for state in part.runs}
        return cls(
            credits=add(part.credits for part in parts),
            characters=add(part.characters for part in parts),
            lines=add(part.lines for part in parts),
            corrected_words=add(part.corrected_words for part in parts),
            audio_ms=add(part.audio_ms for part in parts),
            runs={state: add(part.runs.get(state, ZERO) for part in parts) for state in states},
        )

    def row(self) -> tuple[int, int, int, int]:
        """Credits, characters, lines and runs, as they are printed."""
        return (
            math.floor(self.credits),
            math.floor(self.characters),
            int(self.lines),
            int(add(self.runs.values())),
        )


def _count(usage: UsageReader, *views: Windows) -> list[list[_Counters]]:
    """The counters of every window of some views, from two questions for all of them together.

    The edges of all views together cut time into pieces of which every window is made.
    """
    edges = sorted({edge for view in views for edge in view.edges})
    meters = ("credits", "characters", "lines", "corrected_words", "audio_ms")
    values = usage.windows(meters, edges)
    runs = usage.state_windows("runs", edges, StateWindow.CREATED)
    pieces = [
        _Counters(*numbers, runs=states)  # type: ignore[misc]  # five meters, five fields
        for *numbers, states in zip(*values, runs, strict=True)
    ]
    place = {edge: number for number, edge in enumerate(edges)}
    return [[_Counters.sum(pieces[place[start] : place[end]]) for start, end in pairwise(view.edges)] for view in views]


def usage_summary(request: Request, caller: Caller, usage: UsageReader) -> Answer:
    """The whole workspace, but for the credits: those are the caller's own."""
    check_workspace(request, usage)
    length = request.choice("range", tuple(RANGES)) or "30d"
    view = request.choice("activity_view", VIEWS) or "daily"
    where = zone(request, usage)
    days, windows = where.days(length), where.view(view)
    daily, buckets = _count(usage, days, windows)
    total = _Counters.sum(daily)
    average = round_half_even(divide(total.characters, total.lines), 1) if total.lines else None
    data = Summary(
        range=length,
        activity_view=view,
        timezone=where.name,
        period=span(request, days.edges[0], days.edges[-1]),
        credits=_own_credits(caller, usage),
        characters=Total(math.floor(total.characters)),
        lines=Lines(int(total.lines), None if average is None else plain(average)),
        audio=Audio(math.floor(total.audio_ms)),
        corrected=Total(math.floor(total.corrected_words)),
        runs=_runs(total.runs),
        activity=_activity(request, view, windows, buckets),
        daily=[Day(label, *counters.row()) for label, counters in zip(days.labels, daily, strict=True)],
    )
    return lasting(data, earliest(where.until, _billing_period(usage).end))


def _billing_period(usage: UsageReader) -> Period:
    """The subscription's usage period; without one, months from the organization's creation."""
    if usage.subscription is None:
        return period_at(usage.organization.created_at, MONTHLY, usage.now)
    return usage.period()


def _own_credits(caller: Caller, usage: UsageReader) -> Credits:
    """What the caller's user used in the billing period."""
    if caller.user_id is None:
        return Credits(0, None, None)
    used = usage.total("credits", _billing_period(usage), {"user_id": caller.user_id})
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


def _activity(request: Request, view: View, windows: Windows, counted: list[_Counters]) -> Activity:
    spans = [span(request, start, end) for start, end in pairwise(windows.edges)]
    buckets = [
        Bucket(label, bounds.start, bounds.end, *counters.row())
        for label, bounds, counters in zip(windows.labels, spans, counted, strict=True)
    ]
    of_credits = request.options.activity_metric == "credits"
    values = [counters.credits if of_credits else counters.lines for counters in counted]
    total, most = add(values), max(values)
    peak = buckets[values.index(most)]
    return Activity(
        view=view,
        bucket_unit=windows.unit,
        range_label=windows.range_label,
        total=math.floor(total),
        avg=plain(round_half_even(divide(total, len(values)), 1)),
        buckets=buckets,
        peak=Peak(math.floor(most), peak.label, peak.start, peak.end) if most > 0 else None,
    )

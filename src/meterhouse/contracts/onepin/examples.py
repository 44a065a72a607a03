"""One answer of each operation, as the OpenAPI document shows it."""

from __future__ import annotations

from decimal import Decimal

from .activity import ActivityBody, Entry, Pagination, Resource, User
from .by_language import ByLanguage, ByLanguageBody, LanguageRow
from .summary import (
    Activity,
    Audio,
    Bucket,
    Credits,
    Day,
    Lines,
    Peak,
    Runs,
    Summary,
    SummaryBody,
    Total,
)
from .whoami import Whoami, WhoamiBody
from .window import Meta, Span

_META = Meta("5b0c3c5e-6f0e-4e0e-9d1b-0e1a2b3c4d5e", "2026-03-15T12:00:00Z")
_RANGE = Span("2026-02-14T00:00:00Z", "2026-03-15T23:59:59Z")
_DAY = Span("2026-03-15T00:00:00Z", "2026-03-15T23:59:59Z")

SUMMARY = SummaryBody(
    Summary(
        range="30d",
        activity_view="daily",
        timezone="UTC",
        period=_RANGE,
        credits=Credits(1200, 5000, Decimal("24.0")),
        characters=Total(18400),
        lines=Lines(230, Decimal("80.0")),
        audio=Audio(1_380_000),
        corrected=Total(42),
        runs=Runs(total=12, completed=9, failed=1, cancelled=0, running=1, pending=1, paused=0),
        activity=Activity(
            view="daily",
            bucket_unit="day",
            range_label="Last 7 days",
            total=310,
            avg=Decimal("44.3"),
            buckets=[Bucket("2026-03-15", _DAY.start, _DAY.end, 310, 4800, 60, 3)],
            peak=Peak(310, "2026-03-15", _DAY.start, _DAY.end),
        ),
        daily=[Day("2026-03-15", 310, 4800, 60, 3)],
    ),
    _META,
)
BY_LANGUAGE = ByLanguageBody(
    ByLanguage(
        range="30d",
        activity_view=None,
        timezone="UTC",
        period=_RANGE,
        languages=[LanguageRow("en-us", "English (US)", Decimal("0.75"), 900, 13800, 30, 172, "credits")],
        total_credits=1200,
        untagged_credits=300,
    ),
    _META,
)
ACTIVITY = ActivityBody(
    [
        Entry(
            id="evt_01",
            timestamp="2026-03-15T11:58:00Z",
            user=User("user_ada", "Ada"),
            action="workflow_run",
            kind="completed",
            resource=Resource("workflow", "wf_7", "Episode 12"),
            metadata={"lines": 60},
            ip="203.0.113.7",
        )
    ],
    _META,
    Pagination(None, None, 20),
)
WHOAMI = WhoamiBody(
    Whoami("api_key", "user_ada", "voicelab", "3f1d9a52-64b1-4e1d-8d25-0a7f2b9c1e11", ["workspace:read"]), _META
)

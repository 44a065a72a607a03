"""The five contracts on calendar days and cycles that are hard to count, against plain lists of events.

Each contract is asked as a function over the reference store. What it should say is added up from the list itself:
by the date on the wall for local days, weeks and months, by the oracle's own starts for cycles. Amounts are powers of
two, so that no two sets of events add up to the same, and every boundary has events on it and a microsecond beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import ROUND_HALF_EVEN, Decimal
from importlib import import_module
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracle import (
    DAY,
    LAST,
    SECOND,
    TICK,
    ZONES,
    around,
    first_instant,
    first_of_next_month,
    moments,
    monday_of,
    monthly_starts,
    period_of,
    thirty_day_starts,
    utc,
    wall_date,
)

from meterhouse.catalog_files import load_catalogs
from meterhouse.clocks import FrozenClock
from meterhouse.contracts.contract import Contract, Request
from meterhouse.domain.event import Outcome
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.listing import CursorSeal
from meterhouse.domain.organization import Caller, Organization
from meterhouse.domain.period import MONTHLY, THIRTY_DAYS, Interval
from meterhouse.domain.plan import Flex, Subscription
from meterhouse.http.response_cache import encoded, enveloped
from meterhouse.services.usage import Usage
from support.reference import ReferenceStore

CATALOGS = load_catalogs(())
CREATED = utc(2010, 1, 1)
SUMMARY = {
    "autoposting": "/usage/summary",
    "aitronos": "/v1/analytics/usage/summary/{org_id}",
    "unsiloed": "/org/get_usage",
    "onepin": "/api/v1/usage/summary",
    "octolens": "/api/v2/org/usage",
}

zones = st.sampled_from(
    [
        "UTC",
        "Africa/Cairo",
        "Africa/Casablanca",
        "America/Havana",
        "America/Santiago",
        "Asia/Beirut",
        "Asia/Kathmandu",
        "Australia/Eucla",
        "Australia/Lord_Howe",
        "Europe/Zurich",
        "Pacific/Apia",
        "Pacific/Chatham",
    ]
) | st.sampled_from(ZONES)
shifts = st.sampled_from([-TICK, timedelta(0), TICK])
clocks = st.sampled_from([time(), time(9, 30), time(23, 59, 59)]) | st.times().map(lambda at: at.replace(microsecond=0))
late_anchors = st.builds(
    lambda year, month, day, clock: datetime(year, month, day, clock.hour, clock.minute, clock.second, tzinfo=UTC),
    st.integers(2023, 2025),
    st.sampled_from([1, 3, 5, 7, 8, 10, 12]),
    st.integers(29, 31),
    clocks,
) | st.builds(lambda clock: datetime.combine(date(2024, 2, 29), clock, UTC), clocks)


@dataclass(frozen=True)
class Happening:
    """An event as the product reports it."""

    at: datetime
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class OneSubscription:
    """As much of a ledger as the usage of one organization reads."""

    held: Subscription | None

    def subscription(self, _organization: str) -> Subscription | None:
        return self.held

    def grants(self, _organization: str) -> tuple[()]:
        return ()

    def keys(self, _organization: str) -> list[Any]:
        return []


def ask(
    name: str,
    happenings: Iterable[Happening],
    now: datetime,
    subscription: Subscription | None = None,
    **query: str,
) -> dict[str, Any]:
    """What a contract's summary answers, as its clients read it, numbers as decimals."""
    contract: Contract = import_module(f"meterhouse.contracts.{name}").CONTRACT
    route = next(route for route in contract.routes if SUMMARY[name] in route.paths)
    organization = Organization("acme", "Acme", name, CREATED)
    usage = Usage(
        store=stored(name, happenings),
        ledger=OneSubscription(subscription),
        catalogs=CATALOGS,
        clock=FrozenClock(now),
        seal=CursorSeal(b"calendar"),
    )
    request = Request(
        path_parameters={"org_id": organization.id},
        query={parameter: (value,) for parameter, value in query.items()},
        headers={},
        request_id="request",
        now=now,
        options=contract.options,
    )
    caller = Caller(organization, contract.default_scopes, user_id="ann", key_id="key")
    answer = enveloped(encoded(route.handle(request, caller, usage.of(organization))), request.request_id, now)
    assert answer.status == 200
    body = msgspec.json.Encoder(decimal_format="number").encode(answer.body)
    return json.loads(body, parse_float=Decimal)


def stored(name: str, happenings: Iterable[Happening]) -> ReferenceStore:
    store = ReferenceStore()
    for number, happening in enumerate(happenings):
        raw = {
            "specversion": "1.0",
            "id": str(number),
            "source": "calendar",
            "type": happening.type,
            "subject": "acme",
            "time": happening.at.isoformat(),
            "data": happening.data,
        }
        meters = CATALOGS.get(name).meters_by_event_type
        event = parse_event(json.dumps(raw).encode(), name, meters, happening.at)
        assert store.append([event], happening.at) == [Outcome.INGESTED]
    return store


def text(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def one_decimal(total: int, count: int) -> Decimal:
    return (Decimal(total) / count).quantize(Decimal("0.1"), ROUND_HALF_EVEN)


# OnePin: local days, Monday weeks and months.


@dataclass(frozen=True)
class Line:
    """A line at an instant, and a run created with it, which goes on to another state three days later."""

    at: datetime
    number: int

    @property
    def credits(self) -> int:
        return 2**self.number

    @property
    def characters(self) -> int:
        return 3**self.number

    @property
    def state(self) -> str:
        return ("completed", "failed", "paused")[self.number % 3]

    def happenings(self) -> list[Happening]:
        run = {"run_id": f"run-{self.number}", "user_id": "ann"}
        line = {**run, "credits": self.credits, "characters": self.characters}
        return [
            Happening(self.at, "line.generated", line),
            Happening(self.at + 3 * DAY, "run.state", {**run, "state": self.state}),
            Happening(self.at, "run.state", {**run, "state": "pending"}),
        ]


def lines_at(instants: Iterable[datetime]) -> list[Line]:
    return [Line(at, number) for number, at in enumerate(sorted(instants))]


def happenings_of(lines: list[Line]) -> list[Happening]:
    return [happening for line in lines for happening in line.happenings()]


def row(lines: list[Line]) -> dict[str, int]:
    return {
        "credits": sum(line.credits for line in lines),
        "characters": sum(line.characters for line in lines),
        "lines": len(lines),
        "runs": len(lines),
    }


def by_date(view: str) -> Callable[[date], str]:
    """The label of the bucket that holds a date."""
    if view == "weekly":
        return lambda day: monday_of(day).isoformat()
    return lambda day: day.isoformat()[:7] if view == "monthly" else day.isoformat()


def first_days(view: str, today: date) -> list[date]:
    """The first day of each bucket, walked back from today, and the day after the last."""
    count = {"daily": 7, "weekly": 12, "monthly": 12}[view]
    label = by_date(view)
    tomorrow = today
    while label(tomorrow) == label(today):
        tomorrow += DAY
    starts, day = [tomorrow], today
    while len(starts) <= count:
        while label(day - DAY) == label(day):
            day -= DAY
        starts.insert(0, day)
        day -= DAY
    return starts


@st.composite
def workspaces(draw: st.DrawFn) -> tuple[str, datetime, list[Line]]:
    """A zone, a moment near a change of its clocks or on the edge of a day, and lines about the edges before it."""
    name = draw(zones)
    tz = ZoneInfo(name)
    near = draw(st.sampled_from(moments(name)))
    day = wall_date(near, tz) + DAY * draw(st.integers(-2, 2))
    now = near + draw(shifts) if draw(st.booleans()) else first_instant(day, tz) + draw(shifts)
    today = wall_date(now, tz)
    edges = {near, first_instant(today, tz), first_instant(today + DAY, tz)}
    back = st.integers(0, 12) | st.integers(0, 95) | st.integers(0, 370)
    first_of = st.sampled_from([lambda day: day, monday_of, lambda day: day.replace(day=1)])
    for first, count in draw(st.lists(st.tuples(first_of, back), min_size=1, max_size=6)):
        edges.add(first_instant(first(today - DAY * count), tz))
    return name, now, lines_at(instant for edge in edges for instant in around(edge))


@given(workspaces(), st.sampled_from([30, 60, 90]))
def test_onepin_gives_every_local_date_what_its_wall_showed(
    workspace: tuple[str, datetime, list[Line]], length: int
) -> None:
    name, now, lines = workspace
    tz = ZoneInfo(name)
    data = ask("onepin", happenings_of(lines), now, timezone=name, range=f"{length}d")["data"]
    today = wall_date(now, tz)
    dates = [today - DAY * n for n in reversed(range(length))]
    assert data["daily"] == [
        {"date": day.isoformat()} | row([line for line in lines if wall_date(line.at, tz) == day]) for day in dates
    ]
    inside = [line for line in lines if dates[0] <= wall_date(line.at, tz) <= today]
    assert data["lines"]["total"] == sum(day["lines"] for day in data["daily"]) == len(inside)
    assert data["characters"]["total"] == sum(day["characters"] for day in data["daily"])
    assert data["lines"]["avg_chars_per_line"] == one_decimal(data["characters"]["total"], len(inside))
    assert data["runs"]["total"] == sum(day["runs"] for day in data["daily"]) == len(inside)
    for state in ("completed", "failed", "paused"):
        assert data["runs"][state] == len([line for line in inside if line.state == state])
    start, end = first_instant(dates[0], tz), first_instant(today + DAY, tz)
    assert data["period"] == {"start": text(start), "end": text(end - SECOND)}


@pytest.mark.parametrize("view", ["daily", "weekly", "monthly"])
@settings(max_examples=60)
@given(workspaces())
def test_onepin_buckets_adjoin_and_hold_what_the_wall_showed(
    view: str, workspace: tuple[str, datetime, list[Line]]
) -> None:
    name, now, lines = workspace
    tz = ZoneInfo(name)
    activity = ask("onepin", happenings_of(lines), now, timezone=name, activity_view=view)["data"]["activity"]
    buckets = activity["buckets"]
    label, starts = by_date(view), first_days(view, wall_date(now, tz))
    expected = [
        {
            "label": label(start),
            "start": text(first_instant(start, tz)),
            "end": text(first_instant(end, tz) - SECOND),
            **row([line for line in lines if label(wall_date(line.at, tz)) == label(start)]),
        }
        for start, end in pairwise(starts)
    ]
    assert buckets == expected
    for before, after in pairwise(buckets):
        assert datetime.fromisoformat(before["end"]) + SECOND == datetime.fromisoformat(after["start"])
    assert activity["total"] == sum(bucket["credits"] for bucket in buckets)
    assert activity["avg"] == one_decimal(activity["total"], len(buckets))
    most = max(expected, key=lambda bucket: bucket["credits"])
    assert activity["peak"] == {
        "value": most["credits"],
        "label": most["label"],
        "start": most["start"],
        "end": most["end"],
    }


@pytest.mark.parametrize(
    ("name", "day", "start", "end"),
    [
        ("Australia/Lord_Howe", date(2024, 4, 7), "2024-04-06T13:00:00Z", "2024-04-07T13:29:59Z"),
        ("Australia/Lord_Howe", date(2024, 10, 6), "2024-10-05T13:30:00Z", "2024-10-06T12:59:59Z"),
        ("Africa/Cairo", date(2024, 4, 26), "2024-04-25T22:00:00Z", "2024-04-26T20:59:59Z"),
        ("America/Havana", date(2024, 11, 3), "2024-11-03T04:00:00Z", "2024-11-04T04:59:59Z"),
        ("Asia/Kathmandu", date(2024, 2, 29), "2024-02-28T18:15:00Z", "2024-02-29T18:14:59Z"),
        ("Pacific/Chatham", date(2024, 4, 7), "2024-04-06T10:15:00Z", "2024-04-07T11:14:59Z"),
        ("Africa/Casablanca", date(2024, 3, 10), "2024-03-09T23:00:00Z", "2024-03-10T23:59:59Z"),
    ],
)
def test_onepin_gives_a_day_all_that_happened_between_its_named_ends(
    name: str, day: date, start: str, end: str
) -> None:
    first, next_first = datetime.fromisoformat(start), datetime.fromisoformat(end) + SECOND
    lines = lines_at([*around(first), *around(next_first)])
    for now in (first, next_first - TICK):
        data = ask("onepin", happenings_of(lines), now, timezone=name)["data"]
        assert data["daily"][-1] == {"date": day.isoformat()} | row(lines[1:4])
        assert data["daily"][-2] == {"date": (day - DAY).isoformat()} | row(lines[:1])
        bucket = data["activity"]["buckets"][-1]
        assert (bucket["label"], bucket["start"], bucket["end"]) == (day.isoformat(), start, end)
    before = ask("onepin", happenings_of(lines), first - TICK, timezone=name)["data"]
    assert before["daily"][-1]["date"] == (day - DAY).isoformat()
    after = ask("onepin", happenings_of(lines), next_first, timezone=name)["data"]
    assert after["daily"][-1] == {"date": (day + DAY).isoformat()} | row(lines[4:])


def test_onepin_has_an_empty_row_for_the_day_that_samoa_skipped() -> None:
    jump = utc(2011, 12, 30, 10)
    lines = lines_at(around(jump))
    data = ask("onepin", happenings_of(lines), utc(2012, 1, 1), timezone="Pacific/Apia")["data"]
    assert data["daily"][-4:] == [
        {"date": "2011-12-29"} | row(lines[:1]),
        {"date": "2011-12-30"} | row([]),
        {"date": "2011-12-31"} | row(lines[1:]),
        {"date": "2012-01-01"} | row([]),
    ]
    buckets = data["activity"]["buckets"]
    assert [(bucket["start"], bucket["end"]) for bucket in buckets[-4:]] == [
        ("2011-12-29T10:00:00Z", "2011-12-30T09:59:59Z"),
        ("2011-12-30T10:00:00Z", "2011-12-30T09:59:59Z"),
        ("2011-12-30T10:00:00Z", "2011-12-31T09:59:59Z"),
        ("2011-12-31T10:00:00Z", "2012-01-01T09:59:59Z"),
    ]


@pytest.mark.parametrize(
    ("name", "monday", "turn"),
    [
        ("UTC", "2024-12-30", utc(2025, 1, 6)),
        ("Pacific/Chatham", "2024-12-30", utc(2025, 1, 5, 10, 15)),
        ("America/New_York", "2026-12-28", utc(2027, 1, 4, 5)),
        ("Asia/Kathmandu", "2026-12-28", utc(2027, 1, 3, 18, 15)),
    ],
)
def test_onepin_weeks_run_over_the_end_of_a_year(name: str, monday: str, turn: datetime) -> None:
    lines = lines_at([*around(turn - 7 * DAY), *around(turn)])
    last, first = (
        ask("onepin", happenings_of(lines), now, timezone=name, activity_view="weekly")["data"]["activity"]["buckets"]
        for now in (turn - TICK, turn)
    )
    assert (last[-1]["label"], last[-1]["credits"]) == (monday, row(lines[1:4])["credits"])
    assert (first[-1]["start"], first[-1]["credits"]) == (text(turn), row(lines[4:])["credits"])
    assert last[1:] == first[:-1]


def test_onepin_last_twelve_months_end_with_the_month_of_the_place() -> None:
    now = utc(2024, 12, 31, 11)
    labels = {
        name: [
            bucket["label"]
            for bucket in ask("onepin", [], now, timezone=name, activity_view="monthly")["data"]["activity"]["buckets"]
        ]
        for name in ("Pacific/Kiritimati", "Etc/GMT+12")
    }
    assert (labels["Pacific/Kiritimati"][0], labels["Pacific/Kiritimati"][-1]) == ("2024-02", "2025-01")
    assert (labels["Etc/GMT+12"][0], labels["Etc/GMT+12"][-1]) == ("2024-01", "2024-12")


# Cycles: from an anchor, in UTC.


@dataclass(frozen=True)
class Cycle:
    """A moment in a cycle, and instants on and about its edges, the edges beside them, and the moment itself."""

    anchor: datetime
    now: datetime
    start: datetime
    end: datetime
    instants: list[datetime]

    def holds(self, instant: datetime) -> bool:
        return self.start <= instant < self.end

    def used(self) -> int:
        """Of amounts 1, 2, 4 … spent at the instants."""
        return sum(2**number for number, at in enumerate(self.instants) if self.holds(at))

    def subscription(self, interval: Interval | None, **limits: Decimal) -> Subscription:
        return Subscription(plan=None, anchor=self.anchor, interval=interval, limits=limits)


@st.composite
def cycles(
    draw: st.DrawFn, anchors: st.SearchStrategy[datetime], starts: Callable[[datetime, datetime], Iterable[datetime]]
) -> Cycle:
    anchor = draw(anchors)
    listed = list(starts(anchor, LAST))
    number = draw(st.integers(1, len(listed) - 3))
    now = listed[number] + draw(shifts | st.timedeltas(timedelta(0), timedelta(27)))
    start, end = period_of(iter(listed), now)
    edges = {listed[number - 1], listed[number], listed[number + 1], listed[number + 2], now}
    return Cycle(anchor, now, start, end, sorted({instant for edge in edges for instant in around(edge)}))


monthly = cycles(late_anchors, monthly_starts)
thirty_days = cycles(late_anchors, thirty_day_starts)


def spent(instants: list[datetime]) -> list[Happening]:
    return [Happening(at, "credit.used", {"amount": 2**number}) for number, at in enumerate(instants)]


@given(monthly)
def test_autoposting_counts_a_billing_cycle_to_the_microsecond(cycle: Cycle) -> None:
    happenings = spent(cycle.instants)
    for number, at in enumerate(cycle.instants):
        tokens = {"model": "m", "input_tokens": 2**number, "output_tokens": 2**number}
        happenings += [
            Happening(at, "clip.uploaded", {"clip_id": str(number)}),
            Happening(at, "clip.rendered", {"clip_id": str(number)}),
            Happening(at, "agent.run", {"agent_id": "a", "posts_generated": 2**number}),
            Happening(at, "ai.usage", tokens),
            # Begun before the cycle, failed at one instant, published at the next: the last change alone decides.
            Happening(cycle.instants[0], "post.state", {"post_id": f"p{number}", "state": "draft"}),
            Happening(at, "post.state", {"post_id": f"p{number}", "state": "failed"}),
            Happening(at, "post.state", {"post_id": f"p{number - 1}", "state": "published"}),
            Happening(at, "post.state", {"post_id": f"s{number}", "state": "scheduled"}),
        ]
    data = ask("autoposting", happenings, cycle.now, cycle.subscription(MONTHLY, credits=Decimal(2**40)))["data"]
    count = sum(map(cycle.holds, cycle.instants))
    last_failed = cycle.holds(cycle.instants[-1])
    assert data == {
        "period": {"start": text(cycle.start), "end": text(cycle.end)},
        "posts": {"published": count, "failed": int(last_failed), "scheduled": len(cycle.instants)},
        "clips": {"uploaded": count, "rendered": count},
        "agents": {"runs": count, "postsGenerated": cycle.used()},
        "credits": {"allocated": 2**40, "used": cycle.used(), "remaining": 2**40 - cycle.used()},
        "aiTokens": {"total": 0, "used": 2 * cycle.used()},
    }


@pytest.mark.parametrize(
    ("anchor", "start", "end"),
    [
        ("2024-01-31T09:30:00Z", "2024-02-29T09:30:00Z", "2024-03-31T09:30:00Z"),
        ("2024-01-30T00:00:00Z", "2024-02-29T00:00:00Z", "2024-03-30T00:00:00Z"),
        ("2024-02-29T23:59:59Z", "2028-02-29T23:59:59Z", "2028-03-29T23:59:59Z"),
        ("2024-01-31T09:30:00Z", "2027-02-28T09:30:00Z", "2027-03-31T09:30:00Z"),
        ("2023-12-31T00:00:00Z", "2024-12-31T00:00:00Z", "2025-01-31T00:00:00Z"),
    ],
)
def test_autoposting_turns_over_at_the_named_instant(anchor: str, start: str, end: str) -> None:
    first, turn = datetime.fromisoformat(start), datetime.fromisoformat(end)
    subscription = Subscription(plan=None, anchor=datetime.fromisoformat(anchor), interval=MONTHLY)
    happenings = spent([*around(first), *around(turn)])
    for now in (first, first + TICK, turn - TICK):
        data = ask("autoposting", happenings, now, subscription)["data"]
        assert (data["period"], data["credits"]["used"]) == ({"start": start, "end": end}, 2 + 4 + 8)
    after = ask("autoposting", happenings, turn, subscription)["data"]
    assert (after["period"]["start"], after["credits"]["used"]) == (end, 16 + 32)


@given(monthly)
def test_onepin_counts_the_callers_billing_period_to_the_microsecond(cycle: Cycle) -> None:
    lines = lines_at(cycle.instants)
    subscription = cycle.subscription(MONTHLY, credits=Decimal(2**40))
    data = ask("onepin", happenings_of(lines), cycle.now, subscription)["data"]
    assert (data["credits"]["used"], data["credits"]["quota"]) == (cycle.used(), 2**40)


@given(thirty_days)
def test_unsiloed_counts_thirty_day_cycles_to_the_microsecond_for_years(cycle: Cycle) -> None:
    subscription = cycle.subscription(THIRTY_DAYS, credits=Decimal(1000))
    body = ask("unsiloed", spent(cycle.instants), cycle.now, subscription)
    assert body == {
        "org_id": "acme",
        "org_name": "Acme",
        "current_usage": cycle.used(),
        "usage_limit": 1000,
        "remaining_quota": 1000 - cycle.used(),
        "last_billed_date": cycle.start.date().isoformat(),
    }


@pytest.mark.parametrize("anchor", [utc(2024, 1, 31), utc(2023, 12, 1, 23, 59, 59), utc(2027, 11, 30, 12)])
def test_unsiloed_moves_the_billed_date_by_90_after_95_idle_days(anchor: datetime) -> None:
    subscription = Subscription(plan=None, anchor=anchor, interval=THIRTY_DAYS)
    happenings = spent([anchor])
    body, idle = (ask("unsiloed", happenings, now, subscription) for now in (anchor, anchor + 95 * DAY))
    assert (body["current_usage"], idle["current_usage"]) == (1, 0)
    billed, moved = (date.fromisoformat(answer["last_billed_date"]) for answer in (body, idle))
    assert moved - billed == 90 * DAY


@pytest.mark.parametrize(("starts", "interval"), [(monthly_starts, MONTHLY), (thirty_day_starts, THIRTY_DAYS)])
@settings(max_examples=60)
@given(st.data())
def test_octolens_resets_on_the_microsecond(
    starts: Callable[[datetime, datetime], Iterable[datetime]], interval: Interval, data: st.DataObject
) -> None:
    cycle = data.draw(cycles(late_anchors, starts))
    mentions = [
        Happening(at, "mention.found", {"mention_id": str(number), "keyword_id": "k"})
        for number, at in enumerate(cycle.instants)
    ]
    keywords = [Happening(at, "keyword.state", {"keyword_id": text(at), "state": "active"}) for at in cycle.instants]
    subscription = cycle.subscription(interval, mentions=Decimal(2), keywords=Decimal(5))
    flex = Flex(enabled=True, budget_cents=Decimal(1000), unit_price_cents=Decimal(1))
    body = ask("octolens", mentions + keywords, cycle.now, replace(subscription, flex=flex))
    count, reset_at = sum(map(cycle.holds, cycle.instants)), f"{cycle.end:%Y-%m-%dT%H:%M:%S}.000Z"
    assert body == {
        "plan": None,
        "mentions": {"count": min(count, 2), "limit": 2, "resetAt": reset_at},
        "keywords": {"count": len(cycle.instants), "limit": 5},
        "flex": {"enabled": True, "budgetCents": 1000, "used": max(0, count - 2), "resetAt": reset_at},
    }


def test_octolens_without_a_reset_schedule_never_turns_over() -> None:
    anchor = utc(2024, 1, 31)
    happenings = [
        Happening(at, "mention.found", {"mention_id": str(number), "keyword_id": "k"})
        for number, at in enumerate(around(anchor))
    ]
    subscription = Subscription(plan=None, anchor=anchor, interval=None)
    for now in (anchor, utc(2024, 2, 29), utc(2030, 12, 31)):
        body = ask("octolens", happenings, now, subscription)
        assert (body["mentions"]["count"], body["mentions"]["resetAt"]) == (2, None)


@given(st.integers(2024, 2030), st.integers(1, 12), shifts, st.lists(st.integers(-500, 40), max_size=6))
def test_aitronos_counts_the_utc_month_to_the_microsecond(
    year: int, month: int, shift: timedelta, days: list[int]
) -> None:
    turn = utc(year, month, 1)
    now = turn + shift
    following = first_of_next_month(turn.date())
    edges = {turn, utc(following.year, following.month, 1), *(turn + DAY * n for n in days)}
    instants = sorted({instant for edge in edges for instant in around(edge)})
    # The month is counted to date; whether it holds what is dated later is nothing to be tested here.
    instants = [at for at in instants if at <= now or (at.year, at.month) != (now.year, now.month)]
    costs = [Decimal(2**number).scaleb(-2) for number in range(len(instants))]
    happenings = [
        Happening(at, "ai.request", {"model": "m", "neurons": 1, "synapses": 2, "cost": str(cost)})
        for at, cost in zip(instants, costs, strict=True)
    ]
    body = ask("aitronos", happenings, now)
    mine = [cost for at, cost in zip(instants, costs, strict=True) if (at.year, at.month) == (now.year, now.month)]
    assert body["currentMonth"] == {"cost": sum(mine), "requests": len(mine)}
    assert (body["totalRequests"], body["totalCost"]) == (len(instants), sum(costs))
    assert body["timeRange"] == {"start": "2010-01-01", "end": now.date().isoformat(), "period": "all_time"}


def test_aitronos_begins_with_an_event_that_is_older_than_the_organization() -> None:
    happenings = [
        Happening(at, "ai.request", {"model": "m", "neurons": 1, "synapses": 2, "cost": 1})
        for at in (CREATED - TICK, utc(2024, 2, 29, 23, 59, 59))
    ]
    body = ask("aitronos", happenings, utc(2024, 3, 1))
    assert body["timeRange"] == {"start": "2009-12-31", "end": "2024-03-01", "period": "all_time"}
    assert body["currentMonth"] == {"cost": 0, "requests": 0}

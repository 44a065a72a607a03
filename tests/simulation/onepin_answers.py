"""What OnePin's endpoints should answer, by the auditor's books. Time zones are read off the wall."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

from simulation.auditor import ANYTHING, Answer, Books, Json, cycle, exact, half_even, in_seconds, months_after
from simulation.catalogs_by_hand import RUN_STATES
from simulation.contract_answers import Reader, caller

ZERO = Fraction(0)
DAY = timedelta(days=1)
DAYS = {"30d": 30, "60d": 60, "90d": 90}
UNITS = {"daily": ("day", "Last 7 days"), "weekly": ("week", "Last 12 weeks"), "monthly": ("month", "Last 12 months")}
COUNTERS = ("credits", "characters", "lines", "runs")


@cache
def begin(day: date, zone: str) -> datetime:
    """The first quarter of an hour at which the walls of a zone show a date, or a later one if they never do."""
    moment = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=15)
    while moment.astimezone(ZoneInfo(zone)).date() < day:
        moment += timedelta(minutes=15)
    return moment


def buckets(view: str, today: date) -> list[date]:
    """The dates on which the buckets of a view begin, and the one on which the last ends."""
    if view == "daily":
        return [today + DAY * number for number in range(-6, 2)]
    if view == "weekly":
        monday = today - DAY * today.weekday()
        return [monday + DAY * 7 * number for number in range(-11, 2)]
    first = datetime(today.year, today.month, 1, tzinfo=UTC)
    return [months_after(first, number).date() for number in range(-11, 2)]


def last_second(moment: datetime) -> str | None:
    return in_seconds(moment - timedelta(seconds=1))


def counted(reader: Reader, start: datetime, end: datetime) -> dict[str, Json]:
    """The four counters of a bucket or a day, whole numbers."""
    runs = sum(len(each) for each in reader.histories("runs", start, end, "created").values())
    values = {slug: reader.total(slug, start, end) for slug in COUNTERS[:3]} | {"runs": Fraction(runs)}
    return {slug: whole(value) for slug, value in values.items()}


def whole(value: Fraction) -> Decimal:
    return Decimal(value // 1)


def summary(books: Books, secret: str | None, range: str = "30d", view: str = "daily", zone: str = "UTC") -> Answer:
    meta = {"request_id": ANYTHING, "timestamp": in_seconds(books.now)}
    found = caller(books, secret, "onepin")
    if isinstance(found, str):
        refusals = {
            "no_key": (401, "UNAUTHORIZED"),
            "bad_key": (401, "UNAUTHORIZED"),
            "gone": (404, "NOT_FOUND"),
            "forbidden": (403, "FORBIDDEN"),
        }
        status, code = refusals[found]
        return status, {"error": {"code": code, "message": ANYTHING}, "meta": meta}
    key, organization = found
    reader = Reader(books, organization)
    today = books.now.astimezone(ZoneInfo(zone)).date()
    days = [today - DAY * back for back in _backwards(DAYS[range])]
    start, end = begin(days[0], zone), begin(today + DAY, zone)
    lines, characters = reader.total("lines", start, end), reader.total("characters", start, end)
    runs = {state: len(each) for state, each in reader.histories("runs", start, end, "created").items()}
    return 200, {
        "data": {
            "range": range,
            "activity_view": view,
            "timezone": zone,
            "period": {"start": in_seconds(start), "end": last_second(end)},
            "credits": own_credits(reader, key.user_id),
            "characters": {"total": whole(characters)},
            "lines": {
                "total": whole(lines),
                "avg_chars_per_line": exact(half_even(characters / lines, 1)) if lines else None,
            },
            "audio": {"total_ms": whole(reader.total("audio_ms", start, end))},
            "corrected": {"total": whole(reader.total("corrected_words", start, end))},
            "runs": {
                "total": Decimal(sum(runs.values())),
                **{state: Decimal(runs.get(state, 0)) for state in RUN_STATES},
            },
            "activity": activity(reader, view, zone, today),
            "daily": [
                {"date": day.isoformat(), **counted(reader, begin(day, zone), begin(day + DAY, zone))} for day in days
            ],
        },
        "meta": meta,
    }


def _backwards(days: int) -> list[int]:
    return list(range(days - 1, -1, -1))


def own_credits(reader: Reader, user_id: str | None) -> Json:
    """Those of the key's user in the billing period: without a subscription a month counted from the creation."""
    if user_id is None:
        return {"used": Decimal(0), "quota": None, "percent": None}
    organization, now = reader.organization, reader.books.now
    subscribed = organization.subscription is not None
    period = reader.books.period(organization, now) if subscribed else cycle(organization.created_at, "P1M", now)
    used, quota = reader.where("user_id", user_id).total("credits", *period), reader.limit("credits")
    percent = exact(half_even(min(max(used * 100 / quota, ZERO), Fraction(100)), 1)) if quota else None
    return {"used": whole(used), "quota": None if quota is None else whole(quota), "percent": percent}


def activity(reader: Reader, view: str, zone: str, today: date) -> Json:
    rows, peak, best = [], None, ZERO
    edges = buckets(view, today)
    for first, after in pairwise(edges):
        start, end = begin(first, zone), begin(after, zone)
        label = first.isoformat()[:7] if view == "monthly" else first.isoformat()
        told = {"label": label, "start": in_seconds(start), "end": last_second(end)}
        rows.append({**told, **counted(reader, start, end)})
        value = reader.total("credits", start, end)
        if value > best:
            best, peak = value, {"value": whole(value), **told}
    total = reader.total("credits", begin(edges[0], zone), begin(edges[-1], zone))
    unit, label = UNITS[view]
    return {
        "view": view,
        "bucket_unit": unit,
        "range_label": label,
        "total": whole(total),
        "avg": exact(half_even(total / len(rows), 1)),
        "buckets": rows,
        "peak": peak,
    }

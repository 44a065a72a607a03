"""Questions of `GET /v1/query`, none of which is asked twice, and the same of PostgreSQL's hourly rollups."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from datetime import timedelta
from itertools import product
from urllib.parse import urlencode

import psycopg

from .load import quantile
from .workload import NOW

NAMESPACE, METER = "aitronos", "neurons"
ZONES = ("UTC", "America/New_York", "Europe/Zurich", "Asia/Kathmandu", "Asia/Tokyo", "America/Caracas", "Pacific/Apia")


def _by_day_and_model(organization: str, zone: str, end: str, days: int) -> dict[str, str]:
    start = (NOW - timedelta(days=days)).date()
    return {
        "organization": organization,
        "from": str(start),
        "to": end,
        "window": "day",
        "timezone": zone,
        "group_by": "model",
    }


def _largest_organizations(_organization: str, zone: str, end: str, days: int) -> dict[str, str]:
    start = (NOW - timedelta(days=days)).date()
    asked = {"namespace": NAMESPACE, "from": str(start), "to": end, "timezone": zone}
    return {**asked, "group_by": "organization", "top": "10"}


_KINDS: Mapping[str, Callable[[str, str, str, int], dict[str, str]]] = {
    "30 days of the largest organization, by day and model": _by_day_and_model,
    "the ten largest organizations of a namespace, 30 days": _largest_organizations,
}
WANTED_MS = dict(zip(_KINDS, (50, 150), strict=True))
_SQL = {
    "30 days of the largest organization, by day and model": """
        SELECT date_trunc('day', hour AT TIME ZONE %(zone)s), part, sum(value) FROM rollups
        WHERE namespace = %(namespace)s AND organization = %(organization)s AND meter = %(meter)s
            AND hour >= %(start)s AND hour < %(end)s GROUP BY 1, 2
    """,
    "the ten largest organizations of a namespace, 30 days": """
        SELECT organization, sum(value) FROM rollups WHERE namespace = %(namespace)s AND meter = %(meter)s
            AND hour >= %(start)s AND hour < %(end)s GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10
    """,
}


def paths(kind: str, organization: str) -> list[str]:
    """Different questions of a kind, of about 30 days each."""
    ends = [str((NOW + timedelta(days=1)).date()), *(f"2026-03-15T{hour:02}:30:00Z" for hour in range(12))]
    asked = product(ZONES, ends, (29, 30, 31))
    return [
        f"/v1/query?{urlencode({'meter': METER, **_KINDS[kind](organization, zone, end, days)})}"
        for zone, end, days in asked
    ]


def time_postgres(uri: str, organization: str, times: int) -> dict[str, tuple[float, float]]:
    """Median and 99th percentile of each kind in milliseconds, without HTTP: whole hours, which is all it has."""
    took: dict[str, tuple[float, float]] = {}
    with psycopg.connect(uri) as connection:
        for kind, sql in _SQL.items():
            each = []
            for number in range(times):
                span = {"start": NOW - timedelta(days=30, hours=number % 24), "end": NOW}
                names = {"namespace": NAMESPACE, "organization": organization, "meter": METER}
                began = time.perf_counter()
                connection.execute(sql, {**span, **names, "zone": ZONES[number % len(ZONES)]}).fetchall()
                each.append(1_000 * (time.perf_counter() - began))
            took[kind] = quantile(each, 0.5), quantile(each, 0.99)
    return took

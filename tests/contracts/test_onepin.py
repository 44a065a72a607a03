"""OnePin's summary, worked out by hand for a workspace in Zurich."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from support.server import Server, event

PATH = "/api/v1/usage/summary"


def line(org: str, at: str, characters: int, credits: str, user: str = "ada", **more: Any) -> dict[str, Any]:
    data = {"run_id": "r", "user_id": user, "locale": "de-CH", "characters": characters, "credits": credits, **more}
    return event("line.generated", org, data, at=at)


def run(org: str, run_id: str, at: str, state: str) -> dict[str, Any]:
    return event("run.state", org, {"run_id": run_id, "user_id": "ada", "state": state}, at=at)


@pytest.fixture(scope="module")
def workspace(server: Server) -> str:
    org = server.organization(
        "onepin", {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {"credits": 7}}
    )
    server.send(
        "onepin",
        [
            line(org, "2026-03-14T22:59:59.999999Z", 10, "1.5"),  # 14 March in Zurich, its last microsecond
            line(org, "2026-03-14T23:00:00Z", 20, "0.75", corrected_words=4),  # 15 March
            line(org, "2026-03-15T11:00:00Z", 31, "0.75", "grace"),
            line(org, "2026-02-13T22:59:59Z", 1000, "100"),  # the day before the 30 days begin
            line(org, "2026-02-13T23:00:00Z", 5, "2"),  # their first second
            run(org, "r1", "2026-02-13T22:00:00Z", "pending"),
            run(org, "r1", "2026-03-15T10:00:00Z", "completed"),  # created before the range
            run(org, "r2", "2026-03-15T10:00:00Z", "running"),
            run(org, "r2", "2026-03-15T10:30:00Z", "paused"),
            run(org, "r3", "2026-03-10T10:00:00Z", "failed"),
            event("audio.delivered", org, {"run_id": "r2", "audio_ms": 1234}, at="2026-03-15T10:00:00Z"),
        ],
    )
    return org


@pytest.fixture(scope="module")
def key(server: Server, workspace: str) -> str:
    return server.key(workspace, user_id="ada")


def summary(server: Server, key: str, **query: str) -> dict[str, Any]:
    answer = server.http.get(PATH, params=query, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200, answer.text
    assert answer.json()["meta"] == {"request_id": answer.headers["x-request-id"], "timestamp": "2026-03-15T12:00:00Z"}
    return answer.json()["data"]  # type: ignore[no-any-return]


def test_thirty_days_in_zurich(server: Server, key: str) -> None:
    data = summary(server, key, timezone="Europe/Zurich")
    assert (data["range"], data["activity_view"], data["timezone"]) == ("30d", "daily", "Europe/Zurich")
    assert data["period"] == {"start": "2026-02-13T23:00:00Z", "end": "2026-03-15T22:59:59Z"}
    assert data["credits"] == {"used": 2, "quota": 7, "percent": 32.1}  # Ada's 2.25 of 7 in March
    assert data["characters"] == {"total": 66}
    assert data["lines"] == {"total": 4, "avg_chars_per_line": 16.5}
    assert data["audio"] == {"total_ms": 1234}
    assert data["corrected"] == {"total": 4}
    assert data["runs"] == {
        "total": 2,
        "completed": 0,
        "failed": 1,
        "cancelled": 0,
        "running": 0,
        "pending": 0,
        "paused": 1,
    }
    daily = data["daily"]
    assert [len(daily), daily[0]["date"], daily[-1]["date"]] == [30, "2026-02-14", "2026-03-15"]
    assert daily[0] == {"date": "2026-02-14", "credits": 2, "characters": 5, "lines": 1, "runs": 0}
    assert daily[-2] == {"date": "2026-03-14", "credits": 1, "characters": 10, "lines": 1, "runs": 0}
    assert daily[-1] == {"date": "2026-03-15", "credits": 1, "characters": 51, "lines": 2, "runs": 1}
    activity = data["activity"]
    assert (activity["bucket_unit"], activity["range_label"]) == ("day", "Last 7 days")
    assert (activity["total"], Decimal(str(activity["avg"]))) == (3, Decimal("0.4"))
    assert activity["buckets"][-1] == {
        "label": "2026-03-15",
        "start": "2026-03-14T23:00:00Z",
        "end": "2026-03-15T22:59:59Z",
        "credits": 1,
        "characters": 51,
        "lines": 2,
        "runs": 1,
    }
    # A tie of 1.5 credits: the earlier day is the peak.
    assert activity["peak"] == {
        "value": 1,
        "label": "2026-03-14",
        "start": "2026-03-13T23:00:00Z",
        "end": "2026-03-14T22:59:59Z",
    }


def test_weeks_and_months_hold_the_same(server: Server, key: str) -> None:
    weekly = summary(server, key, activity_view="weekly", range="60d", timezone="Europe/Zurich")
    buckets = weekly["activity"]["buckets"]
    assert len(buckets) == 12
    assert (buckets[-1]["label"], buckets[-1]["lines"], buckets[0]["label"]) == ("2026-03-09", 3, "2025-12-22")
    assert weekly["activity"]["total"] == 105
    assert len(weekly["daily"]) == 60
    monthly = summary(server, key, activity_view="monthly", range="90d", timezone="Europe/Zurich")
    buckets = monthly["activity"]["buckets"]
    assert [bucket["label"] for bucket in buckets[-2:]] == ["2026-02", "2026-03"]
    assert [bucket["credits"] for bucket in buckets[-2:]] == [102, 3]
    assert monthly["activity"]["range_label"] == "Last 12 months"
    assert sum(day["lines"] for day in monthly["daily"]) == monthly["lines"]["total"] == 5


def test_an_empty_workspace_has_every_field(server: Server) -> None:
    data = summary(server, server.key(server.organization("onepin")))
    assert data["credits"] == {"used": 0, "quota": None, "percent": None}
    assert data["lines"] == {"total": 0, "avg_chars_per_line": None}
    assert data["activity"]["peak"] is None
    assert data["activity"]["avg"] == 0


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"range": "31d"}, "range"),
        ({"range": ""}, "range"),
        ({"activity_view": "hourly"}, "activity_view"),
        ({"timezone": "Mars/Olympus"}, "timezone"),
        ({"timezone": "../../etc/passwd"}, "timezone"),
        ({"timezone": "+02:00"}, "timezone"),
        ({"timezone": ""}, "timezone"),
        ({"timezone": "x" * 10_000}, "timezone"),
    ],
)
def test_an_unknown_parameter_value_is_named(server: Server, key: str, query: dict[str, str], field: str) -> None:
    answer = server.http.get(PATH, params=query, headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 422
    error = answer.json()["error"]
    assert (error["code"], error["details"][0]["field"]) == ("VALIDATION_ERROR", field)


def test_the_workspace_header_must_be_the_keys_own(server: Server, key: str, workspace: str) -> None:
    headers = {"authorization": f"Bearer {key}", "x-workspace-id": workspace}
    assert server.http.get(PATH, headers=headers).status_code == 200
    other = server.http.get(PATH, headers={**headers, "x-workspace-id": "another"})
    assert (other.status_code, other.json()["error"]["code"]) == (403, "FORBIDDEN")


@pytest.mark.parametrize("credential", [None, "Bearer op_live_" + "0" * 32, "Basic x", "op_live_x"])
def test_without_a_valid_key_it_is_a_401(server: Server, credential: str | None) -> None:
    answer = server.http.get(PATH, headers={"authorization": credential} if credential else {})
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "UNAUTHORIZED"
    assert set(answer.json()) == {"error", "meta"}

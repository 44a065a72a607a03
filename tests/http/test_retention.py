"""Events are reduced to what meters read of them when they are old, and every total stays what it is."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from support.http_catalog import CATALOG
from support.server import Server, event, serve

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
SECRET = "what she said"
ADDED = """
[[meters]]
slug = "prompts"
event_type = "call"
aggregation = "UNIQUE_COUNT"
value = "prompt"
optional = true
"""


def call(org: str, days_ago: int, **more: Any) -> dict[str, Any]:
    data = {"input": 2, "output": "0.10", "latency_ms": days_ago, "user": {"id": "ada", "name": SECRET}}
    at = (NOW - timedelta(days=days_ago)).isoformat()
    return event("call", org, {**data, "prompt": SECRET, **more}, at=at)


def started(tmp_path: Path, *, catalog: str = CATALOG, days: str = "acme=30", **options: Any) -> Any:
    (tmp_path / "acme.toml").write_text(catalog)
    environment = {"METERHOUSE_RETENTION_DAYS": days} if days else {}
    arguments = ("--catalog", str(tmp_path / "acme.toml"))
    return serve(tmp_path / "data", now=NOW, arguments=arguments, environment=environment, **options)


def story(server: Server, sent: dict[str, Any]) -> Any:
    return server.admin("GET", f"/v1/namespaces/acme/events/{sent['source']}/{quote(sent['id'])}").json()


def reduced(server: Server, sent: dict[str, Any]) -> None:
    for _ in range(300):
        if SECRET not in json.dumps(story(server, sent)["data"]):
            return
        time.sleep(0.1)
    raise AssertionError("it was not reduced")


def used(server: Server, org: str) -> dict[str, Any]:
    return {slug: meter["used"] for slug, meter in server.usage(org)["meters"].items()}


def test_old_events_are_reduced_and_no_total_changes(tmp_path: Path) -> None:
    with started(tmp_path, days="") as server:
        org = server.organization("acme", {"plan": "Team", "anchor": "2025-01-01", "interval": "P12M"})
        old, new = [call(org, 60), call(org, 31)], [call(org, 30), call(org, 1)]
        server.send("acme", [*old, *new])
        assert server.send("acme", [{**old[0], "data": {**old[0]["data"], "input": 7}}])["conflicts"] == 1
        server.folded()
        before, as_of = used(server, org), server.usage(org)["as_of"]
        assert before["tokens"] == 4 * 2 + 4 * json.loads("0.10", parse_float=type(before["tokens"]))
        server.stop()
    with started(tmp_path) as server:
        for each in old:
            reduced(server, each)
        assert [SECRET in json.dumps(story(server, each)["data"]) for each in [*old, *new]] == [
            False,
            False,
            True,
            True,
        ]
        assert story(server, old[0])["data"] == {
            "meterhouse.reduced": True,
            "input": 2,
            "output": "0.10",
            "latency_ms": 60,
            "user": {"id": "ada"},
        }
        assert used(server, org) == before
        assert server.usage(org)["as_of"] == as_of
        assert server.admin("DELETE", "/v1/rollups").status_code == 202
        assert used(server, org) == before
        assert server.send("acme", [*old, *new])["duplicates"] == 4
        voided = {"id": "v", "actor": "ada", "reason": "test", "void": [{"source": "tests", "id": old[0]["id"]}]}
        made = server.admin("POST", "/v1/corrections", voided, params={"namespace": "acme"})
        assert made.status_code == 200, made.text
        assert used(server, org)["calls"] == 3
        exported = server.admin("GET", "/v1/export").content
        assert exported.count(SECRET.encode()) == 2 * len(new) + 2, "and what contradicted an event today"
        after = used(server, org)
        server.stop()
    with serve(tmp_path / "again", now=NOW, arguments=("--catalog", str(tmp_path / "acme.toml"))) as server:
        body = {"id": org, "name": "Acme", "namespace": "acme"}
        assert server.admin("POST", "/v1/organizations", body).status_code == 201
        server.subscribe(org, {"plan": "Team", "anchor": "2025-01-01", "interval": "P12M"})
        headers = {"content-type": "application/x-ndjson"}
        taken = server.admin("POST", "/v1/events", headers=headers, content=exported, params={"namespace": "acme"})
        assert taken.json()["rejected"] == 0, taken.text
        assert used(server, org) == after


@pytest.mark.thorough
def test_a_meter_that_is_added_later_says_from_when_it_is_complete(tmp_path: Path) -> None:
    with started(tmp_path) as server:
        org = server.organization("acme", {"plan": "Team", "anchor": "2025-01-01", "interval": "P12M"})
        old = call(org, 60)
        server.send("acme", [old, call(org, 29)])
        assert not [meter for meter in server.usage(org)["meters"].values() if "complete_from" in meter]
        server.stop()
    for days in ("acme=30", ""):  # what is gone is gone, whatever the setting says then
        with started(tmp_path, days=days) as server:
            reduced(server, old)
            server.stop()
        with started(tmp_path, catalog=CATALOG + ADDED, days=days) as server:
            meters = server.usage(org)["meters"]
            complete = {slug: meter["complete_from"] for slug, meter in meters.items() if "complete_from" in meter}
            assert complete == {"prompts": "2026-02-13T00:00:00Z"}
            assert meters["prompts"]["used"] == 1
            server.subscribe(org, {"plan": "Team", "anchor": "2026-02-20", "interval": "P1M"})
            assert "complete_from" not in server.usage(org)["meters"]["prompts"], "the period begins after it"
            server.subscribe(org, {"plan": "Team", "anchor": "2025-01-01", "interval": "P12M"})
            server.stop()


@pytest.mark.thorough
def test_killed_while_it_reduces_it_goes_on_after_the_next_start(tmp_path: Path) -> None:
    with started(tmp_path, days="") as server:
        org = server.organization("acme", {"plan": "Team", "anchor": "2025-01-01", "interval": "P12M"})
        for _ in range(4):
            sent = [call(org, 60 + number % 9, n=number) for number in range(5_000)]
            server.send("acme", sent)
        before = used(server, org)
        server.stop()
    for _ in range(3):
        with started(tmp_path) as server:
            server.kill()
    with started(tmp_path) as server:
        assert used(server, org) == before
        reduced(server, sent[-1])
        assert used(server, org) == before
        assert SECRET.encode() not in server.admin("GET", "/v1/export").content


@pytest.mark.parametrize("wrong", ["acme", "acme=0", "acme=1.5", "acme=1,acme=2", "=5", "acme=99999", "nobody=5"])
def test_a_setting_that_means_nothing_is_refused(tmp_path: Path, wrong: str) -> None:
    with (
        pytest.raises(AssertionError, match=r"METERHOUSE_RETENTION_DAYS|unknown namespace"),
        started(tmp_path, days=wrong),
    ):
        pass


def test_what_no_meter_reads_is_not_shown_any_more(tmp_path: Path) -> None:
    days = {"METERHOUSE_RETENTION_DAYS": "onepin=10"}
    with serve(tmp_path, now=NOW) as server:
        org = server.organization("onepin")
        key = {"authorization": f"Bearer {server.key(org)}"}
        did = {"action": "workflow_run", "kind": "run", "user": {"id": "u", "name": SECRET}, "resource": {"type": "w"}}
        sent = [
            event("workspace.activity", org, did, at=(NOW - timedelta(days=days_ago)).isoformat())
            for days_ago in (20, 5)
        ]
        server.send("onepin", sent)
        assert len(server.http.get("/api/v1/usage/activity", headers=key).json()["data"]) == 2
        server.stop()
    with serve(tmp_path, now=NOW, environment=days) as server:
        for _ in range(100):
            shown = [entry["id"] for entry in server.http.get("/api/v1/usage/activity", headers=key).json()["data"]]
            if len(shown) == 1:
                break
            time.sleep(0.1)
        assert shown == [sent[1]["id"]]
        assert server.send("onepin", sent)["duplicates"] == 2

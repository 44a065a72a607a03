"""Erasing a person: every total stays the same, and nothing says the name any more."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from meterhouse.domain.erasure import erase
from meterhouse.domain.event import Event
from meterhouse.domain.event_parser import parse_event
from meterhouse.domain.listing import PropertyMatch
from meterhouse.domain.meter import Aggregation, Meter, MeterQuery
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine.engine import NO_PARAMETERS, EngineError, Parameters
from meterhouse.storage.clickhouse.maintenance import mutation_queries
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.http_catalog import CATALOG
from support.server import Server, event, serve
from support.stores import crash, open_on, open_store

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
WHO = {"actor": "ada", "reason": "asked to be forgotten"}


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme.toml").write_text(CATALOG.replace('value = "user.id"', 'value = "user.id"\ngroup_by = ["team"]'))
    with serve(folder / "data", now=NOW, arguments=("--catalog", str(folder / "acme.toml"))) as server:
        yield server


def call(org: str, user: Any, tokens: Any = 1) -> dict[str, Any]:
    data = {"input": tokens, "output": "0.10", "latency_ms": 5, "user": {"id": user, "n": 1.50}, "team": "red"}
    return event("call", org, data, at="2026-03-02T00:00:00Z")


def erasure(acme: Server, org: str, value: str, status: int = 200, **other: Any) -> Any:
    body = {"id": f"erasure-{org}", "organization": org, "property": "user.id", "value": value, **WHO, **other}
    answer = acme.admin("POST", "/v1/erasures", body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_totals_stay_and_the_name_goes(acme: Server) -> None:
    org = acme.organization("acme", {"plan": "Team", "anchor": "2026-03-01", "interval": "P1M"})
    other = acme.organization("acme")
    hers = [call(org, "mallory", 3), call(org, "mallory", "4.5"), call(org, "42"), call(org, 42)]
    acme.send("acme", [*hers, call(org, "bob"), call(other, "mallory")])
    acme.send("acme", [{**hers[0], "data": {**hers[0]["data"], "input": 8}}])  # a contradiction, which says it too
    acme.folded()
    before = acme.usage(org)["meters"]
    receipt = erasure(acme, org, "mallory")
    assert (receipt["events"], receipt["keys"], receipt["replaced_by"][:7]) == (3, 0, "erased:")
    after = acme.usage(org)["meters"]
    assert {slug: each["used"] for slug, each in after.items()} == {s: each["used"] for s, each in before.items()}
    acme.folded()
    assert acme.usage(org)["meters"] == after
    stories = [story(acme, each) for each in hers[:2]]
    assert "mallory" not in json.dumps([stories, listed(acme, org)])
    assert {each["data"]["user"]["id"] for each in stories} == {receipt["replaced_by"]}
    assert stories[0]["data"]["output"] == "0.10"
    assert len(stories[0]["conflicts"]) == 1
    assert acme.send("acme", hers)["duplicates"] == 4, "a late retry is still known"
    assert erasure(acme, org, "mallory") == receipt
    assert acme.admin("GET", f"/v1/erasures/erasure-{org}", params={"namespace": "acme"}).json() == receipt
    assert erasure(acme, org, "42", id="the number too")["events"] == 2
    assert {s: each["used"] for s, each in acme.usage(org)["meters"].items()} == {
        s: e["used"] for s, e in after.items()
    }
    assert erasure(acme, other, "mallory")["events"] == 1


def listed(acme: Server, org: str) -> Any:
    return acme.admin("GET", f"/v1/organizations/{org}/events", params={"meter": "people"}).json()


def story(acme: Server, sent: dict[str, Any]) -> Any:
    return acme.admin("GET", f"/v1/namespaces/acme/events/{sent['source']}/{quote(sent['id'])}").json()


def test_what_totals_are_made_of_cannot_be_erased(acme: Server) -> None:
    org = acme.organization("acme")
    acme.send("acme", [call(org, "mallory")])
    for name, value in (("latency_ms", "5"), ("state", "running")):
        assert "counts what" in erasure(acme, org, value, 400, property=name)["detail"]
    assert erasure(acme, org, "", 400)
    assert "erased already" in erasure(acme, org, "erased:x", 400)["detail"]
    assert erasure(acme, "nobody", "mallory", 404)
    assert erasure(acme, org, "nobody")["events"] == 0
    assert acme.admin("GET", "/v1/erasures/never", params={"namespace": "acme"}).status_code == 404


def test_the_keys_of_a_person_keep_what_is_theirs(acme: Server) -> None:
    org = acme.organization("acme")
    acme.key(org, user_id="mallory")
    receipt = erasure(acme, org, "mallory")
    assert receipt["keys"] == 1
    assert [key["user_id"] for key in acme.admin("GET", f"/v1/organizations/{org}/keys").json()] == [
        receipt["replaced_by"]
    ]


class Crash(Exception):
    """The process ends here."""


class CrashingEngine(ChdbEngine):
    """Ends before a statement, or after it."""

    statement = ""
    after = False

    def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
        if sql == self.statement and not self.after:
            raise Crash
        super().execute(sql, parameters)
        if sql == self.statement:
            raise Crash


REWRITE = mutation_queries.rewrite("default")

METERS = {
    "ns": [
        Meter("people", "call", Aggregation.UNIQUE_COUNT, values=("user",)),
        Meter("calls", "call", Aggregation.COUNT, group_by=("user",)),
    ]
}


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("statement", [mutation_queries.REPLACE_REWRITES, REWRITE, mutation_queries.DROP_REWRITES])
def test_a_crash_at_any_step_leaves_nothing_behind(tmp_path: Path, statement: str, after: bool) -> None:
    store, engine = open_on(tmp_path, CrashingEngine, METERS)
    store.append([said(str(number), user) for number, user in enumerate(["mallory", "mallory", "bob"])], NOW)
    while store.materialize(store.latest_commit()):
        pass
    engine.statement, engine.after = statement, after
    saying = PropertyMatch("ns", "acme", "user", "mallory")

    def rewritten(found: Event) -> Event:
        return erase(found, "user", "erased:1")

    with pytest.raises(Crash):
        store.rewrite(saying, rewritten)
    engine.statement = ""
    crash(store)
    store = open_store(tmp_path, METERS)
    try:
        groups = {measure.group[0] for measure in measured(store, "calls")}
        assert groups in ({"mallory", "bob"}, {"erased:1", "bob"}), "some of it is neither undone nor done"
        store.rewrite(saying, rewritten)
        for _ in range(2):
            assert {measure.group[0] for measure in measured(store, "calls")} == {"erased:1", "bob"}
            assert [measure.value for measure in measured(store, "people")] == [2]
            while store.materialize(store.latest_commit()):
                pass
    finally:
        store.close()


def test_a_rewrite_that_fails_does_not_hold_up_others(tmp_path: Path) -> None:
    class Failing(ChdbEngine):
        def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
            if sql == REWRITE:
                raise EngineError("disk full")
            super().execute(sql, parameters)

    store = open_on(tmp_path, Failing, METERS)[0]
    store.append([said("1", "mallory")], NOW)
    with pytest.raises(EngineError):
        store.rewrite(PropertyMatch("ns", "acme", "user", "mallory"), lambda found: erase(found, "user", "erased:1"))
    store.close()
    store = open_store(tmp_path, METERS)
    assert store.append([said("2", "bob")], NOW)
    assert {measure.group[0] for measure in measured(store, "calls")} == {"mallory", "bob"}  # it was given up
    assert (
        store.rewrite(PropertyMatch("ns", "acme", "user", "mallory"), lambda found: erase(found, "user", "erased:1"))
        == 1
    )
    assert {measure.group[0] for measure in measured(store, "calls")} == {"erased:1", "bob"}
    store.close()


def said(event_id: str, user: str) -> Event:
    raw = {"specversion": "1.0", "id": event_id, "source": "s", "type": "call", "subject": "acme"}
    return parse_event(json.dumps({**raw, "data": {"user": user}}).encode(), "ns", {}, NOW)


def measured(store: ClickHouseEventStore, slug: str) -> Any:
    [meter] = [each for each in METERS["ns"] if each.slug == slug]
    return store.measure(MeterQuery("ns", "acme", (meter,), (None, None), store.latest_commit(), meter.group_by))

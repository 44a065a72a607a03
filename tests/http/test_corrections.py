"""Voiding, amending, adding, undoing; previews, and what was known before: over HTTP, all eight aggregations."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import quote

import msgspec
import pytest

from support.http_catalog import CATALOG
from support.server import ADMIN_KEY, Server, event, serve

_numbers = count(1)
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
PLAN = {"plan": "Team", "anchor": "2026-03-01", "interval": "P1M"}
WHY = {"actor": "ada@example.com", "reason": "sent twice by hand"}


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme.toml").write_text(CATALOG)
    with serve(
        folder / "data", now="2026-03-15T12:00:00Z", arguments=("--catalog", str(folder / "acme.toml"))
    ) as server:
        yield server


def call(org: str, tokens: Any = 1, at: str = "2026-03-02T00:00:00Z", latency_ms: int = 5, user: str = "u") -> Any:
    data = {"input": tokens, "output": 0, "latency_ms": latency_ms, "user": {"id": user}}
    return event("call", org, data, at=at)


def named(sent: dict[str, Any]) -> dict[str, str]:
    return {"source": sent["source"], "id": sent["id"]}


def correct(acme: Server, body: dict[str, Any], *, preview: bool = False, path: str = "", status: int = 200) -> Any:
    params = {"namespace": "acme", **({"preview": "true"} if preview else {})}
    answer = acme.admin("POST", f"/v1/corrections{path}", {**WHY, **body}, params=params)
    assert answer.status_code == status, answer.text
    return _decode(answer.content)


def used(acme: Server, org: str) -> dict[str, Any]:
    return {slug: meter["used"] for slug, meter in acme.usage(org)["meters"].items()}


def test_a_voided_event_counts_nowhere_until_it_is_restored(acme: Server) -> None:
    org = acme.organization("acme", PLAN)
    keep, wrong = call(org, 3, user="ada"), call(org, "0.1", latency_ms=99, user="eve")
    disk = event("disk", org, {"gb": 7}, at="2026-03-09T00:00:00Z")
    older_disk = event("disk", org, {"gb": 2}, at="2026-03-03T00:00:00Z")
    job = event("job", org, {"job": "1", "state": "running"}, at="2026-03-01T00:00:00Z")
    ended = event("job", org, {"job": "1", "state": "done"}, at="2026-03-04T00:00:00Z")
    acme.send("acme", [keep, wrong, disk, older_disk, job, ended])
    before = used(acme, org)
    body = {"void": [named(each) for each in (wrong, disk, ended)]}
    preview = correct(acme, body, preview=True)
    assert (preview["applied"], used(acme, org)) == (False, before)
    made = correct(acme, body)
    after = used(acme, org)
    assert after == {
        "calls": 1,
        "tokens": 3,
        "fastest": 5,
        "slowest": 5,
        "mean": 5,
        "people": 1,
        "stored_gb": 2,
        "jobs": 1,
    }
    assert preview["effects"] == made["effects"]
    [effect] = made["effects"]
    assert (effect["organization"], effect["period"]["start"]) == (org, "2026-03-01T00:00:00Z")
    changes = {slug: {"before": before[slug], "after": after[slug]} for slug in after if before[slug] != after[slug]}
    assert effect["meters"] == changes
    assert len(changes) == 7  # the fastest was another one
    undone = correct(acme, {}, path=f"/{made['id']}/undo")
    assert used(acme, org) == before
    assert {step["action"] for step in undone["steps"]} == {"restore"}
    correct(acme, {}, path=f"/{undone['id']}/undo")
    assert used(acme, org) == after


def test_an_amended_event_counts_as_it_should_have_been_said(acme: Server) -> None:
    org = acme.organization("acme", PLAN)
    wrong = call(org, 30)
    acme.send("acme", [wrong])
    digits = "12345678901234567890.123456789"
    data = {"input": 0, "output": 0, "latency_ms": 5, "user": {"id": "u"}}
    raw = msgspec.json.encode({**WHY, "amend": [{**named(wrong), "data": data}]}).replace(
        b'"output":0', f'"output":{digits}'.encode()
    )
    answer = acme.http.post(
        "/v1/corrections?namespace=acme",
        content=raw,
        headers={"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"},
    )
    assert answer.status_code == 200, answer.text
    made = _decode(answer.content)
    assert used(acme, org)["tokens"] == Decimal(digits)
    added, voided = made["steps"]
    assert (added["action"], voided["action"], voided["replaced_by"]["id"]) == ("add", "void", added["id"])
    assert added["time"] == "2026-03-02T00:00:00Z"
    story = why(acme, wrong)
    assert (story["state"], story["corrections"][0]["replaced_by"]) == ("voided", added["id"])
    correct(acme, {}, path=f"/{made['id']}/undo")
    assert used(acme, org)["tokens"] == 30


def test_forgotten_events_are_added_to_the_period_they_belong_to(acme: Server) -> None:
    org = acme.organization("acme", PLAN)
    forgotten = [call(org, 5, at="2026-02-10T00:00:00Z"), call(org, 7)]
    made = correct(acme, {"add": forgotten, "id": "backfill-1"})
    assert [(each["period"]["start"], each["meters"]["tokens"]["after"]) for each in made["effects"]] == [
        ("2026-02-01T00:00:00Z", 5),
        ("2026-03-01T00:00:00Z", 7),
    ]
    assert used(acme, org)["tokens"] == 7
    again = correct(acme, {"add": forgotten, "id": "backfill-1"})
    assert (again["id"], used(acme, org)["tokens"]) == ("backfill-1", 7)
    assert acme.send("acme", forgotten)["duplicates"] == 2
    assert correct(acme, {"reason": "another one", "add": [call(org)], "id": "backfill-1"}, status=409)
    looked_up = acme.admin("GET", "/v1/corrections/backfill-1", params={"namespace": "acme"}).json()
    assert [step["id"] for step in looked_up["steps"]] == [each["id"] for each in forgotten]


def test_what_was_known_at_a_moment(tmp_path: Path) -> None:
    """By the clock of the machine: an old answer is the same after a correction."""
    (tmp_path / "acme.toml").write_text(CATALOG)
    with serve(tmp_path / "data", arguments=("--catalog", str(tmp_path / "acme.toml"))) as server:
        org = server.organization("acme", {"plan": "Team", "anchor": "2020-01-01", "interval": None})
        begin = server.usage(org)
        sent = [call(org, 5, at="2026-03-02T00:00:00Z"), call(org, 6, at="2026-03-02T00:00:00Z")]
        server.send("acme", sent)
        old = server.usage(org)
        correct(server, {"void": [named(sent[0])]})
        assert server.usage(org)["meters"]["tokens"]["used"] == 6

        def at(moment: str) -> Any:
            return server.admin("GET", f"/v1/organizations/{org}/usage", params={"as_of": moment})

        assert _decode(at(old["as_of"]).content)["meters"]["tokens"]["used"] == 11
        assert _decode(at(begin["as_of"]).content)["meters"]["tokens"]["used"] == 0
        assert _decode(at("1999-01-01T00:00:00Z").content)["meters"]["calls"]["used"] == 0
        for wrong, told in (("2199-01-01T00:00:00Z", "still to come"), ("yesterday", "as_of")):
            assert at(wrong).status_code == 400
            assert told in at(wrong).json()["detail"]


def why(acme: Server, sent: dict[str, Any]) -> Any:
    path = f"/v1/namespaces/acme/events/{quote(sent['source'], safe='')}/{quote(sent['id'], safe='')}"
    answer = acme.admin("GET", path)
    assert answer.status_code == 200, answer.text
    return _decode(answer.content)


def test_an_event_tells_its_story(acme: Server) -> None:
    org = acme.organization("acme", PLAN)
    sent = {**call(org, "0.1", user="ada"), "source": "https://api.example/a b", "id": "1/2 ü?"}
    acme.send("acme", [sent])
    story = why(acme, sent)
    assert (story["state"], story["because"], story["organization"]) == ("counted", None, org)
    assert (story["received_at"], story["period"]["end"]) == ("2026-03-15T12:00:00Z", "2026-04-01T00:00:00Z")
    meters = {each["meter"]: each for each in story["meters"]}
    assert (meters["calls"]["value"], meters["tokens"]["value"]) == (1, Decimal("0.1"))
    assert meters["people"]["text"] == "ada"
    assert acme.send("acme", [sent])["duplicates"] == 1
    other = {**sent, "data": {**sent["data"], "input": 8}}
    for _ in range(2):
        assert acme.send("acme", [other])["conflicts"] == 1
    [conflict] = why(acme, sent)["conflicts"]
    assert (conflict["data"]["input"], conflict["type"]) == (8, "call")
    assert used(acme, org)["tokens"] == Decimal("0.1")


def test_an_event_that_counts_nowhere_says_why(acme: Server) -> None:
    stray = event("unheard_of", "nobody-knows", {})
    orphan = call("not-yet-there")
    acme.send("acme", [stray, orphan])
    story = why(acme, stray)
    assert (story["state"], story["known_organization"]) == ("unmatched", False)
    assert "'unheard_of'" in story["because"]
    assert "call, disk, job" in story["because"]
    assert "no organization 'not-yet-there'" in why(acme, orphan)["because"]
    missing = acme.admin("GET", "/v1/namespaces/acme/events/nowhere/nothing")
    assert missing.status_code == 404
    assert "never received" in missing.json()["detail"]
    assert acme.admin("GET", "/v1/namespaces/none/events/a/b").status_code == 404


def test_a_number_leads_to_the_events_it_is_made_of(acme: Server) -> None:
    org = acme.organization("acme", PLAN)
    calls = [call(org, number) for number in range(1, 8)]
    acme.send("acme", [*calls, call(org, 1000, at="2026-02-28T23:59:59Z")])
    correct(acme, {"void": [named(calls[0])]})
    linked = acme.admin("GET", f"/v1/organizations/{org}/usage", params={"links": "true"})
    meter = _decode(linked.content)["meters"]["tokens"]
    acme.send("acme", [call(org, 500)])  # after the answer: no part of it
    listed, path = [], meter["events"] + "&limit=4"
    while path:
        page = _decode(acme.admin("GET", path).content)
        listed += page["events"]
        path = page["next"]
    assert sum(each["value"] for each in listed) == meter["used"] == 27
    assert {each["id"] for each in listed} == {each["id"] for each in calls[1:]}
    assert _decode(acme.admin("GET", listed[0]["story"]).content)["state"] == "counted"
    other = acme.organization("acme", PLAN)
    stolen = acme.admin("GET", meter["events"].replace(f"/{org}/", f"/{other}/"))
    assert stolen.status_code == 400
    unknown = acme.admin("GET", f"/v1/organizations/{org}/events", params={"meter": "nope"})
    assert unknown.status_code == 404
    key = acme.key(other)
    answer = acme.http.get(meter["events"], headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 403


def test_bad_corrections_are_refused_whole(acme: Server) -> None:
    org = acme.organization("acme", PLAN)
    first, second = call(org, 1), call(org, 2)
    acme.send("acme", [first, second])
    made = correct(acme, {"void": [named(first)]})
    before = used(acme, org)
    nothing = {"source": "test", "id": "never"}
    bad: list[tuple[dict[str, Any], int, str]] = [
        ({}, 400, "nothing to correct"),
        ({"void": [nothing]}, 404, "'never'"),
        ({"void": [named(second), nothing]}, 404, "'never'"),
        ({"void": [named(first)]}, 400, f"is voided, by the correction '{made['id']}'"),
        ({"void": [named(second), named(second)]}, 400, "named twice"),
        ({"void": [named(second)], "amend": [{**named(second), "type": "call"}]}, 400, "named twice"),
        ({"void": [named(second)], "add": [{"id": "x"}]}, 400, "add[0]"),
        ({"add": [first]}, 409, "stored already"),
        ({"add": [{**call(org), "type": "meterhouse.void"}]}, 400, "Meterhouse's own"),
        ({"amend": [{**named(second), "time": "soon"}]}, 400, "amend[0]"),
        ({"void": [{"source": "meterhouse/corrections", "id": f"{made['id']}/0"}]}, 400, "undo that one"),
        ({"void": [named(second)], "reason": ""}, 400, "reason"),
        ({"void": [named(second)], "because": "?"}, 400, "because"),
    ]
    for body, status, told in bad:
        for preview in (True, False):
            refused = correct(acme, body, preview=preview, status=status)
            assert told in refused["detail"], refused
    params = {"namespace": "other"}
    assert acme.admin("POST", "/v1/corrections", {**WHY, "void": [named(first)]}, params=params).status_code == 404
    for path in (f"/{made['id']}x/undo", "/nothing/undo"):
        correct(acme, {}, path=path, status=404)
    undone = correct(acme, {}, path=f"/{made['id']}/undo")
    assert "is not voided" in correct(acme, {}, path=f"/{made['id']}/undo", status=400)["detail"]
    correct(acme, {}, path=f"/{undone['id']}/undo")
    assert used(acme, org) == before
    key = acme.key(org)
    refused = acme.http.post("/v1/corrections?namespace=acme", json={}, headers={"authorization": f"Bearer {key}"})
    assert refused.status_code == 403


@pytest.mark.thorough
def test_corrections_survive_kill_and_rebuild(tmp_path: Path) -> None:
    (tmp_path / "acme.toml").write_text(CATALOG)
    arguments = ("--catalog", str(tmp_path / "acme.toml"))
    with serve(tmp_path / "data", now="2026-03-15T12:00:00Z", arguments=arguments) as server:
        org = server.organization("acme", PLAN)
        calls = [call(org, number) for number in range(1, 6)]
        server.send("acme", calls)
        server.folded()
        correct(server, {"void": [named(calls[0])], "id": "c"})
        before = server.usage(org)
        assert before["meters"]["tokens"]["used"] == 14
        server.kill()
    for end in (Server.stop, Server.kill):
        with serve(tmp_path / "data", now="2026-03-15T12:00:00Z", arguments=arguments) as server:
            assert server.usage(org)["meters"] == before["meters"]
            # Something to be saved at the end, with what was corrected before it.
            server.send("acme", [call("somebody-else")])
            end(server)
    with serve(tmp_path / "data", now="2026-03-15T12:00:00Z", arguments=arguments) as server:
        assert server.usage(org)["meters"] == before["meters"]
        assert server.admin("DELETE", "/v1/rollups").status_code == 202
        assert server.usage(org)["meters"] == before["meters"]
        server.folded()
        assert server.usage(org)["meters"] == before["meters"]
        correct(server, {}, path="/c/undo")
        assert server.usage(org)["meters"]["tokens"]["used"] == 15


def test_own_types_are_for_the_operator_alone(acme: Server) -> None:
    org = acme.organization("acme", PLAN)
    sent = call(org)
    acme.send("acme", [sent])
    step = {**named(sent), "correction": "x", "steps": 1, **WHY}
    void = {**event("meterhouse.void", org, step), "source": "meterhouse/corrections", "id": "x/0"}
    key = acme.key(org, scopes=["events:write"])
    refused = acme.http.post("/v1/events", json=void, headers={"authorization": f"Bearer {key}"}).json()
    assert (refused["rejected"], refused["errors"][0]["code"]) == (1, "invalid_event")
    assert used(acme, org)["calls"] == 1
    wrong = [
        {**void, "data": {**step, "id": "never"}},
        {**void, "subject": "another"},
        {**void, "data": {"id": "x"}},
        {**void, "type": "meterhouse.dance"},
    ]
    report = acme.send("acme", wrong)
    assert [error["code"] for error in report["errors"]] == [*["unknown_target"] * 2, *["invalid_event"] * 2]
    # What remains of an organization that was removed goes along with an export as well.
    removed = event("meterhouse.removal", "gone", {}, id="gone", source="meterhouse/removals")
    assert acme.send("acme", [void, removed])["ingested"] == 2
    assert used(acme, org)["calls"] == 0


def test_a_body_of_many_small_things_is_refused_before_they_are_made(acme: Server) -> None:
    body = b'{"actor": "ada", "reason": "r", "add": [' + b"0," * 600_000 + b"0]}"
    headers = {"content-type": "application/json"}
    answer = acme.admin("POST", "/v1/corrections?namespace=acme", content=body, headers=headers)
    assert answer.status_code == 400
    assert "500000 commas" in answer.json()["detail"]

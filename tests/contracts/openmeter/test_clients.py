"""What OpenMeter's own clients do first: meters, events, queries."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest

from support.faulty_server import faulty
from support.official import ClientError, OfficialClient
from support.openmeter_clients import JS, NEW, OLD, TOKENS, Wire, connected, event, login
from support.server import Server


def values(answer: Any) -> list[Any]:
    return [row["value"] for row in answer["data"]]


class TestMeters:
    def test_a_meter_is_made_and_found_by_slug_and_id(self, wire: Wire) -> None:
        made = wire.create_meter(**TOKENS, name="Tokens", description="of prompts", metadata={"team": "ai"})
        assert made["slug"] == "tokens_total"
        assert made["groupBy"] == TOKENS["groupBy"]
        assert len(made["id"]) == 26
        get = {NEW: "meters.get", OLD: "get_meter", JS: "meters.get"}[wire.kind]
        assert wire.call(get, "tokens_total") == made
        assert wire.call(get, made["id"]) == made
        listed = wire.call({NEW: "meters.list", OLD: "list_meters", JS: "meters.list"}[wire.kind])
        assert listed == [made]

    def test_the_same_slug_again_is_a_conflict(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        with pytest.raises(ClientError) as refused:
            wire.create_meter(**TOKENS)
        assert refused.value.kind == ("HTTPError" if wire.kind == JS else "ResourceExistsError")
        assert refused.value.body["detail"] if wire.kind != JS else "already" in refused.value.message

    def test_one_that_is_not_there_is_not_found(self, wire: Wire) -> None:
        with pytest.raises(ClientError) as refused:
            wire.call({NEW: "meters.get", OLD: "get_meter", JS: "meters.get"}[wire.kind], "nothing")
        assert refused.value.kind == ("HTTPError" if wire.kind == JS else "ResourceNotFoundError")

    def test_it_is_deleted(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        wire.call({NEW: "meters.delete", OLD: "delete_meter", JS: "meters.delete"}[wire.kind], "tokens_total")
        assert wire.call({NEW: "meters.list", OLD: "list_meters", JS: "meters.list"}[wire.kind]) == []


class TestEvents:
    def test_what_was_sent_counts_at_once_and_once(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        one, other = event(tokens=10, model="a"), event(tokens="2.5", model="b")
        wire.ingest(one, other)
        wire.ingest(other, one)
        assert values(wire.query("tokens_total")) == [12.5]

    def test_a_meter_counts_what_came_before_it(self, wire: Wire) -> None:
        wire.ingest(event(tokens=7))
        wire.create_meter(**TOKENS)
        assert values(wire.query("tokens_total")) == [7]

    def test_what_a_meter_cannot_read_is_kept_and_the_list_says_why(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        wire.ingest(
            event("a", tokens=1),
            event("b", tokens="NaN"),
            event("c"),
            event("d", tokens="many"),
            event("e", tokens=True),
            event("f", other=1),
            {**event("g"), "type": "unknown"},
        )
        assert values(wire.query("tokens_total")) == [1]
        reasons = {each["event"]["subject"]: each["validationError"].splitlines() for each in wire.list_events()}
        assert reasons == {
            "a": ["no customer found for event subject: a"],
            "b": ["invalid event: value cannot be NaN", "no customer found for event subject: b"],
            "c": ["invalid event: null and missing value property", "no customer found for event subject: c"],
            "d": ["invalid event: value cannot be parsed as float64: many", "no customer found for event subject: d"],
            "e": ["invalid event: unsupported value property type: boolean", "no customer found for event subject: e"],
            "f": ['invalid event: missing value property: "$.tokens"', "no customer found for event subject: f"],
            "g": ["no meter found for event type: unknown", "no customer found for event subject: g"],
        }

    def test_one_malformed_event_refuses_all(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        bad = {**event(tokens=5), "subject": ""}
        with pytest.raises(ClientError) as refused:
            wire.ingest(event(tokens=1), bad)
        assert refused.value.status == 400 or "subject" in refused.value.message
        assert wire.query("tokens_total")["data"] == []


class TestQueries:
    def test_days_of_a_zone_whose_clocks_change(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        days = range(6, 13)
        wire.ingest(*(event("a", f"2025-03-{day:02}T20:00:00Z", tokens=day) for day in days))
        asked = {"from": "2025-03-06T08:00:00Z", "to": "2025-03-13T07:00:00Z", "windowSize": "DAY"}
        rows = wire.query("tokens_total", **asked, windowTimeZone="America/Los_Angeles")["data"]
        assert [row["value"] for row in rows] == [*days]
        ends = [(row["windowStart"], row["windowEnd"]) for row in rows]
        assert all(one[1] == next_[0] for one, next_ in pairwise(ends))

    def test_subjects_filter_and_group(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        wire.ingest(event("a", tokens=1), event("b/1 @x", tokens=2), event("c", tokens=4))
        rows = wire.query("tokens_total", subject=["a", "b/1 @x"])["data"]
        assert [(row["subject"], row["value"]) for row in rows] == [("a", 1), ("b/1 @x", 2)]

    def test_groups(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        wire.ingest(
            event(tokens=1, model="m", where={"region": "eu"}), event(tokens=2, model="m"), event(tokens=4, model="n")
        )
        rows = wire.query("tokens_total", groupBy=["model", "region"])["data"]
        assert [(row["groupBy"], row["value"]) for row in rows] == [
            ({"model": "m", "region": ""}, 2),
            ({"model": "m", "region": "eu"}, 1),
            ({"model": "n", "region": ""}, 4),
        ]
        assert values(wire.query("tokens_total", filterGroupBy={"model": "m"})) == [3]

    def test_a_bad_query_says_what_is_wrong(self, wire: Wire) -> None:
        wire.create_meter(**TOKENS)
        with pytest.raises(ClientError) as refused:
            wire.query("tokens_total", groupBy=["colour"])
        assert refused.value.message.endswith("invalid group by: colour") or wire.kind != JS
        assert refused.value.status in (400, None)


def test_a_wrong_token(server: Server, clients: dict[str, OfficialClient]) -> None:
    login(NEW, server, clients[NEW], "wrong")
    with pytest.raises(ClientError) as refused:
        clients[NEW]("meters.list")
    assert refused.value.kind == "ClientAuthenticationError"


def test_what_was_refused_for_the_moment_is_sent_again_and_counts_once(
    server: Server, clients: dict[str, OfficialClient]
) -> None:
    wire = connected(NEW, server, clients[NEW])
    wire.create_meter(**TOKENS)
    with faulty(f"http://127.0.0.1:{server.port}", {0: "503"}.get) as before:
        clients[NEW].make("openmeter", "Client", endpoint=f"{before.url}/openmeter/", token=wire.key)
        one = event(tokens=1)
        for _ in range(2):
            wire.ingest(one)
        assert before.requests == 3
    login(NEW, server, clients[NEW], wire.key)
    assert values(wire.query("tokens_total")) == [1]

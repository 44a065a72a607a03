"""`GET /v1/organizations/{id}/usage`: all eight aggregations of a catalog of one's own, worked out by hand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from support.http_catalog import CATALOG
from support.server import Server, event, serve


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme.toml").write_text(CATALOG)
    with serve(
        folder / "data", now="2026-03-15T12:00:00Z", arguments=("--catalog", str(folder / "acme.toml"))
    ) as server:
        yield server


def call(
    org: str, user: str, tokens: tuple[Any, Any], latency_ms: Any, at: str = "2026-03-02T00:00:00Z"
) -> dict[str, Any]:
    data = {"input": tokens[0], "output": tokens[1], "latency_ms": latency_ms, "user": {"id": user}}
    return event("call", org, data, at=at)


def test_every_aggregation(acme: Server) -> None:
    org = acme.organization("acme", {"plan": "Team", "anchor": "2026-03-01", "interval": "P1M"})
    report = acme.send(
        "acme",
        [
            call(org, "ada", (1, "0.5"), 30),
            call(org, "ada", (2, 0), "10.5"),
            call(org, "bob", ("1e1", -1), 20),
            call(org, "eve", (1000, 0), 1, at="2026-02-28T23:59:59.999999Z"),
            event("disk", org, {"gb": "1.25"}, at="2026-03-03T00:00:00Z"),
            event("disk", org, {"gb": 9}, at="2026-03-01T00:00:00Z"),
            event("job", org, {"job": 1, "state": "running"}, at="2025-01-01T00:00:00Z"),
            event("job", org, {"job": "2", "state": "waiting"}, at="2026-03-01T00:00:00Z"),
            event("job", org, {"job": "3", "state": "running"}, at="2026-03-01T00:00:00Z"),
            event("job", org, {"job": "3", "state": "done"}, at="2026-03-02T00:00:00Z"),
        ],
    )
    assert report["ingested"] == 10
    meters = acme.usage(org)["meters"]
    assert {slug: meter["used"] for slug, meter in meters.items()} == {
        "calls": 3,
        "tokens": Decimal("12.5"),
        "fastest": Decimal("10.5"),
        "slowest": 30,
        "mean": Decimal("20.1666666666666666666666666667"),
        "people": 2,
        "stored_gb": Decimal("1.25"),
        "jobs": 2,
    }
    assert meters["tokens"]["remaining"] == Decimal("87.5")
    assert meters["tokens"]["percent"] == Decimal("12.5")
    assert meters["stored_gb"]["remaining"] == Decimal("1.25")
    assert (meters["calls"]["limit"], meters["calls"]["remaining"], meters["calls"]["percent"]) == (None, None, None)


def test_every_aggregation_of_the_previous_period(acme: Server) -> None:
    """The period began fourteen and a half days ago: in February that was until noon of the 15th."""
    org = acme.organization("acme", {"plan": "Team", "anchor": "2026-01-01", "interval": "P1M"})
    early = [
        call(org, "ada", (1, 2), 30, at="2026-02-02T00:00:00Z"),
        event("disk", org, {"gb": "1.25"}, at="2026-02-15T11:00:00Z"),
        event("job", org, {"job": 1, "state": "running"}, at="2026-02-02T00:00:00Z"),
    ]
    late = [
        call(org, "bob", (10, 20), 10, at="2026-02-20T00:00:00Z"),
        event("disk", org, {"gb": 9}, at="2026-02-15T12:00:00Z"),
    ]
    slugs = ("calls", "tokens", "people", "fastest", "slowest", "mean", "stored_gb")
    for sent, used, used_by_now in (
        (late, (1, 30, 1, 10, 10, 10, 9), (0, 0, 0, None, None, None, None)),
        (early, (2, 33, 2, 10, 30, 20, 9), (1, 3, 1, 30, 30, 30, Decimal("1.25"))),
    ):
        acme.send("acme", sent)
        meters = acme.usage(org)["meters"]
        assert meters.pop("jobs")["previous"] is None, "they are counted as they are now"
        assert {slug: meter["previous"]["used"] for slug, meter in meters.items()} == dict(
            zip(slugs, used, strict=True)
        )
        by_now = {slug: meter["previous"]["used_by_now"] for slug, meter in meters.items()}
        assert by_now == dict(zip(slugs, used_by_now, strict=True))


def test_without_events_sums_are_zero_and_extremes_are_unknown(acme: Server) -> None:
    meters = acme.usage(acme.organization("acme"))["meters"]
    used = {slug: meter["used"] for slug, meter in meters.items()}
    assert used == {
        "calls": 0,
        "tokens": 0,
        "fastest": None,
        "slowest": None,
        "mean": None,
        "people": 0,
        "stored_gb": None,
        "jobs": 0,
    }


def test_an_event_lacking_what_a_meter_needs_is_refused_by_name(acme: Server) -> None:
    org = acme.organization("acme")
    bad = [
        event("call", org, {"input": 1, "output": 1, "latency_ms": 5}),
        event("call", org, {"input": 1, "output": None, "latency_ms": 5, "user": {"id": "u"}}),
        event("disk", org, {"gb": "Infinity"}),
        event("job", org, {"job": "1"}),
    ]
    report = acme.send("acme", bad)
    assert report["rejected"] == 4
    for error, words in zip(report["errors"], ["user.id", "data.output", "data.gb", "data.state"], strict=True):
        assert words in error["message"]


def test_long_ids_are_shown_as_they_were_sent(server: Server) -> None:
    org = server.organization("unsiloed")
    data = {"amount": 1, "device": {"iccid": 89014103211118510720}, "note": "12345678901234567890e0"}
    one = event("credit.used", org, data)
    assert server.send("unsiloed", [one])["ingested"] == 1
    story = server.admin("GET", f"/v1/namespaces/unsiloed/events/tests/{one['id']}").text
    assert '"iccid":89014103211118510720}' in story.replace(" ", "")
    assert '"12345678901234567890e0"' in story


def test_numbers_are_written_without_an_exponent(server: Server) -> None:
    amounts = {"0.00000011": "0.00000011", "1e20": "100000000000000000000", "1E-28": "0." + "0" * 27 + "1", "-0.0": "0"}
    for sent, shown in amounts.items():
        subscription = {"plan": None, "anchor": "2026-01-01", "interval": None, "limits": {"credits": "1" + "0" * 30}}
        org = server.organization("unsiloed", subscription)
        one = event("credit.used", org, {"amount": sent}, at="2026-03-01T00:00:00Z")
        assert server.send("unsiloed", [one])["ingested"] == 1
        story = server.admin("GET", f"/v1/namespaces/unsiloed/events/tests/{one['id']}").text
        listed = server.admin("GET", f"/v1/organizations/{org}/events?meter=credits").text
        usage = server.admin("GET", f"/v1/organizations/{org}/usage").text
        quota = server.admin("GET", f"/v1/organizations/{org}/quota/credits?amount=0").text
        void = {"actor": "a", "reason": "r", "void": [{"source": "tests", "id": one["id"]}]}
        effects = server.admin("POST", "/v1/corrections?namespace=unsiloed&preview=true", void).text
        for field, text in (("value", story), ("value", listed), ("used", usage)):
            assert f'"{field}":{shown},' in text, text
        if shown != "0":
            assert f'"before":{shown},' in effects, effects
        assert not re.search(r"[:[]-?[0-9.]+[eE]", usage + quota + effects)

"""`POST /v1/events`: every wrong thing gets a clear answer, and loses nothing."""

from __future__ import annotations

import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import httpx
import pytest

from support.server import ADMIN_KEY, Server, event

AUTH = {"authorization": f"Bearer {ADMIN_KEY}"}


@pytest.fixture
def org(server: Server) -> str:
    return server.organization("unsiloed")


def post(server: Server, content: bytes, media_type: str = "application/json", **headers: str) -> httpx.Response:
    headers = {**AUTH, "content-type": media_type, **{name.replace("_", "-"): v for name, v in headers.items()}}
    return server.http.post("/v1/events", params={"namespace": "unsiloed"}, content=content, headers=headers)


def used(server: Server, organization: str) -> Decimal:
    return Decimal(server.usage(organization)["meters"]["credits"]["used"])


def test_one_event_sent_by_fifty_at_once_counts_once(server: Server, org: str) -> None:
    body = json.dumps(event("credit.used", org, {"amount": 1})).encode()
    with ThreadPoolExecutor(50) as pool:
        reports = [answer.json() for answer in pool.map(lambda _: post(server, body), range(50))]
    assert sum(report["ingested"] for report in reports) == 1
    assert sum(report["duplicates"] for report in reports) == 49
    assert used(server, org) == 1


@pytest.mark.parametrize(
    ("media_type", "lines"),
    [
        ("application/cloudevents+json", False),
        ("application/cloudevents-batch+json; charset=utf-8", False),
        ("application/json", False),
        ("application/x-ndjson", True),
    ],
)
def test_speaks_every_form_of_cloudevents(server: Server, org: str, media_type: str, lines: bool) -> None:
    events = [event("credit.used", org, {"amount": "0.1"}) for _ in range(3)]
    if lines:
        content = "\r\n".join(json.dumps(each) for each in events) + "\n\n"
    else:
        content = json.dumps(events if "batch" in media_type or media_type == "application/json" else events[0])
    answer = post(server, content.encode(), media_type)
    count = 1 if media_type == "application/cloudevents+json" else 3
    none = {"duplicates": 0, "conflicts": 0, "rejected": 0, "unmatched": 0, "errors": [], "errors_omitted": 0}
    assert answer.json() == {"ingested": count, **none, "position": server.position()}
    assert used(server, org) == Decimal("0.1") * count


def test_good_and_bad_in_one_array(server: Server, org: str) -> None:
    good = event("credit.used", org, {"amount": 2})
    late = event("credit.used", org, {"amount": 3})
    bad = [
        ({**event("credit.used", org, {"amount": 1}), "id": "x" * 10_000}, "invalid_event", "10000 characters"),
        (event("credit.used", org, {"amount": 1}, at="2026-03-01T10:00:00"), "invalid_time", "zone"),
        (event("credit.used", org, {"amount": 1}, at="2026-02-30T10:00:00Z"), "invalid_time", "day"),
        (event("credit.used", org, {"amount": "NaN"}), "invalid_value", "data.amount"),
        (event("credit.used", org, {}), "invalid_value", "missing"),
        (event("credit.used", org, {"amount": "9" * 39}), "invalid_value", "38 digits"),
        ({**event("credit.used", org, {"amount": 1}), "specversion": "0.3"}, "invalid_event", "specversion"),
        ({**event("credit.used", org, {"amount": 1}), "subject": ""}, "invalid_event", "subject"),
        ([], "invalid_event", "CloudEvent"),
        ("text", "invalid_event", "CloudEvent"),
        (None, "invalid_event", "CloudEvent"),
        (event("credit.used", org, {"amount": 1, "pad": "x" * 70_000}), "too_large", "65536"),
        ({**good, "data": {"amount": 7}}, "conflict", "first one stands"),
    ]
    report = server.send("unsiloed", [good, *(each for each, _, _ in bad), late])
    assert (report["ingested"], report["conflicts"], report["rejected"]) == (2, 1, len(bad) - 1)
    assert [error["index"] for error in report["errors"]] == list(range(1, len(bad) + 1))
    for error, (sent, code, words) in zip(report["errors"], bad, strict=True):
        assert error["code"] == code
        assert words in error["message"]
        assert error["id"] == (sent["id"][:512] if isinstance(sent, dict) else None)
    assert used(server, org) == 5


@pytest.mark.parametrize("depth", [65, 900, 1_000, 100_000])
def test_a_deeply_nested_event_takes_nobody_with_it(server: Server, org: str, depth: int) -> None:
    nested = json.dumps(event("credit.used", org, {"amount": 1, "deep": "HERE"}))
    nested = nested.replace('"HERE"', "[" * depth + '"]},"' + "]" * depth)
    good = [json.dumps(event("credit.used", org, {"amount": 1, "text": 'a\\"],[{'})) for _ in range(2)]
    answer = post(server, f" [{good[0]}, {nested} ,{good[1]}]".encode())
    report = answer.json()
    assert (report["ingested"], report["rejected"], report["errors"][0]["index"]) == (2, 1, 1)
    assert "nested" in report["errors"][0]["message"] or "recursion" in report["errors"][0]["message"]
    assert used(server, org) == 2


@pytest.mark.parametrize("content", [b"", b"not json", b'{"id": ', b"[{}", b"[" * 5_000, b"\xff\xfe", b'[{"a":1},]'])
def test_a_body_that_is_no_json_is_a_400(server: Server, content: bytes) -> None:
    answer = post(server, content)
    if content == b"[" * 5_000:
        assert answer.status_code in (200, 400)
    else:
        assert answer.status_code == 400, answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert "JSON" in answer.json()["detail"]


def test_a_line_that_is_no_json_is_rejected_alone(server: Server, org: str) -> None:
    lines = [json.dumps(event("credit.used", org, {"amount": 1})).encode(), b"{oops", b"\xff\xff", b"[1]"]
    report = post(server, b"\n".join(lines), "application/x-ndjson").json()
    assert (report["ingested"], report["rejected"]) == (1, 3)


def test_too_large_is_a_413_compressed_or_not(server: Server) -> None:
    def megabytes() -> Any:
        for _ in range(100):
            yield b" " * 1_000_000

    for content in (b" " * 40_000_000, megabytes()):
        try:
            answer = post(server, content)
        except httpx.WriteError:
            continue  # the server has answered and hung up before all of it was sent
        assert answer.status_code == 413
        assert "larger" in answer.json()["detail"]
    bomb = gzip.compress(b" " * 500_000_000)
    answer = post(server, bomb, content_encoding="gzip")
    assert answer.status_code == 413
    assert "larger" in answer.json()["detail"]


def test_gzip_is_unpacked_and_broken_gzip_refused(server: Server, org: str) -> None:
    packed = gzip.compress(json.dumps(event("credit.used", org, {"amount": 4})).encode())
    assert post(server, packed, content_encoding="gzip").json()["ingested"] == 1
    for broken in (packed[:-3], packed + b"x", b"plain"):
        assert post(server, broken, content_encoding="gzip").status_code == 400
    assert post(server, packed, content_encoding="br").status_code == 415
    assert post(server, b"<a/>", "application/xml").status_code == 415
    assert used(server, org) == 4


def test_more_events_than_a_request_may_hold(server: Server) -> None:
    answer = post(server, b"[" + b"1," * 50_000 + b"1]")
    assert answer.status_code == 400
    assert "50000 at a time" in answer.json()["detail"]


def test_unknown_and_missing_namespace(server: Server) -> None:
    answer = server.admin("POST", "/v1/events", [], params={"namespace": "nowhere"})
    assert answer.status_code == 404
    assert "autoposting" in answer.json()["detail"]
    assert server.admin("POST", "/v1/events", []).status_code == 400


def test_events_before_their_organization_count_as_soon_as_it_is_known(server: Server) -> None:
    server.send("unsiloed", [event("credit.used", "early-bird", {"amount": 5})])
    server.admin("POST", "/v1/organizations", {"id": "early-bird", "name": "E", "namespace": "unsiloed"})
    assert used(server, "early-bird") == 5


def test_events_of_types_that_no_meter_reads_are_kept(server: Server, org: str) -> None:
    assert server.send("unsiloed", [event("something.else", org, {"x": 1})])["ingested"] == 1
    assert used(server, org) == 0


class TestOrganizationKeys:
    def test_may_send_its_own_events_only_and_only_with_the_scope(self, server: Server, org: str) -> None:
        other = server.organization("unsiloed")
        key = server.key(org, scopes=["events:write"])
        body = [event("credit.used", org, {"amount": 1}), event("credit.used", other, {"amount": 1})]
        answer = server.http.post("/v1/events", json=body, headers={"authorization": f"Bearer {key}"})
        assert answer.json()["ingested"] == 1
        assert answer.json()["errors"][0]["code"] == "forbidden"
        assert (used(server, org), used(server, other)) == (1, 0)
        reader = server.key(org)
        refused = server.http.post("/v1/events", json=body, headers={"authorization": f"Bearer {reader}"})
        assert refused.status_code == 403

    def test_may_not_name_another_namespace(self, server: Server, org: str) -> None:
        key = server.key(org, scopes=["events:write"])
        headers = {"authorization": f"Bearer {key}"}
        answer = server.http.post("/v1/events", params={"namespace": "onepin"}, json=[], headers=headers)
        assert answer.status_code == 403

    @pytest.mark.parametrize("credential", ["", "Bearer", "Bearer wrong", "Basic abc", "Bearer " + "x" * 5_000])
    def test_everybody_else_gets_a_401(self, server: Server, credential: str) -> None:
        answer = server.http.post("/v1/events", json=[], headers={"authorization": credential})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert answer.headers["content-type"] == "application/problem+json"

"""What is not understood is refused, event by event and within bounds, and leaves the others alone."""

from __future__ import annotations

import json
import socket
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.server import ADMIN_KEY, Server, event, serve

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
JSON = {"content-type": "application/json"}


@pytest.fixture
def org(server: Server) -> str:
    return server.organization("unsiloed")


def post(server: Server, content: bytes, media_type: str = "application/json", query: str = "") -> httpx.Response:
    headers = {"content-type": media_type}
    return server.admin("POST", f"/v1/events?namespace=unsiloed{query}", content=content, headers=headers)


def used(server: Server, organization: str) -> Any:
    return server.usage(organization)["meters"]["credits"]["used"]


def figures(server: Server) -> dict[str, float]:
    lines = server.http.get("/metrics").text.splitlines()
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))}


@pytest.mark.parametrize("padding", [0, 20_000])  # before the routing, and routed
def test_nothing_taken_is_a_422_and_something_taken_a_200(server: Server, org: str, padding: int) -> None:
    good, other = event("credit.used", org, {"amount": 2}), event("credit.used", org, {"amount": 3})
    bad = {**event("credit.used", org, {"amount": 1}), "time": "soon"}
    conflict = {**good, "data": {"amount": 7}}

    def sent(*events: object) -> tuple[int, int]:
        answer = post(server, json.dumps(events).encode() + b" " * padding)
        assert answer.headers["content-type"] == "application/json"
        return answer.status_code, answer.json()["ingested"]

    assert sent(bad) == (422, 0)
    assert sent() == (200, 0)
    assert sent(good) == (200, 1)
    assert sent(good) == (200, 0), "a duplicate is stored"
    assert sent(conflict) == (422, 0)
    assert sent(conflict, bad) == (422, 0)
    assert sent(conflict, good) == (200, 0)
    assert sent(bad, other) == (200, 1)
    assert used(server, org) == 5


def test_a_report_lists_a_hundred_errors_and_says_how_many_more(server: Server, org: str) -> None:
    known = [event("credit.used", org, {"amount": 1}) for _ in range(150)]
    server.send("unsiloed", known)
    conflicts = [{**each, "data": {"amount": 2}} for each in known]
    answer = post(server, json.dumps([0, *conflicts, *[None] * 10_000]).encode())
    report = answer.json()
    assert (answer.status_code, report["conflicts"], report["rejected"]) == (422, 150, 10_001)
    assert [each["index"] for each in report["errors"]] == list(range(100))
    assert report["errors_omitted"] == 10_051
    assert len(answer.content) < 100_000


@pytest.mark.parametrize("lines", [False, True])
def test_a_bad_event_leaves_its_neighbours_alone(server: Server, org: str, lines: bool) -> None:
    good = [json.dumps(event("credit.used", org, {"amount": n})).encode() for n in (1, 2)]
    last = good[1].rindex(b"2")
    bad = [good[1][:last] + wrong + good[1][last + 1 :] for wrong in (b'"\\ud83d"', b"NaN", b'"\xff"', b"01")]
    parts = [good[0], *bad, good[1]]
    content = b"\n".join(parts) if lines else b"[" + b",".join(parts) + b"]"
    answer = post(server, content, "application/x-ndjson" if lines else "application/json")
    assert (answer.status_code, answer.json()["ingested"], answer.json()["rejected"]) == (200, 2, len(bad))
    assert used(server, org) == 3


def test_a_repeated_name_is_refused_with_its_path(server: Server, org: str) -> None:
    raw = json.dumps(event("credit.used", org, {"amount": 1}))
    raw = raw.replace('"amount"', '"user": {"id": 1, "id": 2}, "amount"')
    answer = post(server, raw.encode())
    [error] = answer.json()["errors"]
    assert (answer.status_code, error["code"]) == (422, "invalid_event")
    assert "data.user.id" in error["message"]


def test_a_type_that_no_meter_reads_is_counted_and_told_once(tmp_path: Path) -> None:
    with serve(tmp_path / "data", now=NOW) as server:
        org = server.organization("unsiloed")
        strange = [event("credit.usd", org, {"amount": 1}) for _ in range(3)]
        report = server.send("unsiloed", [*strange, event("credit.used", org, {"amount": 1})])
        assert (report["ingested"], report["unmatched"], report["errors"]) == (4, 3, [])
        assert server.send("unsiloed", strange)["unmatched"] == 0, "they are duplicates"
        assert figures(server)["meterhouse_events_unmatched_total"] == 3
        server.stop()
        told = [line for line in server.printed().splitlines() if "no meter reads" in line]
    assert [json.loads(line)["type"] for line in told] == ["credit.usd"]


def test_a_deleted_organization_takes_no_events_and_after_its_purge_none_again(tmp_path: Path) -> None:
    at = "2026-03-01T00:00:00Z"
    with serve(tmp_path, now=NOW) as server:
        org, other = server.organization("unsiloed"), server.organization("unsiloed")
        first = event("credit.used", org, {"amount": 1}, at=at)
        assert server.send("unsiloed", [first])["ingested"] == 1
        server.admin("DELETE", f"/v1/organizations/{org}")
        more = event("credit.used", org, {"amount": 1}, at=at)
        report = server.send("unsiloed", [first, more, event("credit.used", other, {"amount": 1}, at=at)])
        assert (report["ingested"], [each["code"] for each in report["errors"]]) == (1, ["organization_deleted"] * 2)
        added = {"actor": "a", "reason": "r", "add": [more]}
        assert server.admin("POST", "/v1/corrections?namespace=unsiloed", added).status_code == 400
        assert server.send("aitronos", [event("of.nobody", org, {})])["ingested"] == 1, "that is another's"
        server.admin("POST", f"/v1/organizations/{org}/restore")
        assert server.send("unsiloed", [first, more])["ingested"] == 1
        server.admin("DELETE", f"/v1/organizations/{org}")
        server.stop()
    with serve(tmp_path, now=NOW + timedelta(days=31)) as server:
        for _ in range(100):
            if server.admin("GET", f"/v1/namespaces/unsiloed/events/tests/{first['id']}").status_code == 404:
                break
            time.sleep(0.1)
        report = server.send("unsiloed", [first])
        assert [each["code"] for each in report["errors"]] == ["organization_deleted"]
        assert server.admin("GET", f"/v1/namespaces/unsiloed/events/tests/{first['id']}").status_code == 404


def test_a_time_far_ahead_decides_nothing(server: Server) -> None:
    org = server.organization("octolens")

    def state(said: str, at: datetime) -> dict[str, Any]:
        data = {"keyword_id": "k", "state": said}
        return server.send("octolens", [event("keyword.state", org, data, at=at.isoformat())])

    report = state("active", NOW + timedelta(days=366, microseconds=1))
    assert [each["code"] for each in report["errors"]] == ["invalid_time"]
    assert "366 days ahead" in report["errors"][0]["message"]
    assert state("active", NOW + timedelta(seconds=25))["ingested"] == 1
    assert state("deleted", NOW + timedelta(days=366))["ingested"] == 1


def test_the_bound_of_bodies_holds_for_small_ones_too(tmp_path: Path) -> None:
    with serve(tmp_path / "data", now=NOW, environment={"METERHOUSE_MAX_BODY_BYTES": "1024"}) as server:
        org = server.organization("unsiloed")
        small = json.dumps(event("credit.used", org, {"amount": 1})).encode()
        assert post(server, small + b" " * (1_024 - len(small))).status_code == 200
        assert post(server, small + b" " * (1_025 - len(small))).status_code == 413


@pytest.mark.parametrize("size", [100, 100_000])
def test_a_client_that_breaks_off_is_no_fault_of_the_server(server: Server, size: int) -> None:
    before = figures(server)
    head = f"POST /v1/events?namespace=unsiloed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {size}\r\n\r\n["
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(head.encode())
    name = 'meterhouse_http_requests_total{method="POST",path="/v1/events",status="400"}'
    for _ in range(100):
        after = figures(server)
        if after.get(name, 0) >= before.get(name, 0) + 3:
            break
        time.sleep(0.05)
    faults = {each: count for each, count in after.items() if 'status="500"' in each}
    assert after[name] >= before.get(name, 0) + 3
    assert faults == {each: count for each, count in before.items() if 'status="500"' in each}

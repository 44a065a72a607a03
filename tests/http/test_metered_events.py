"""`GET /v1/organizations/{id}/events`: of any span of time, and of some groups only."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import pytest

from support.server import Server, event

FEBRUARY = {"from": "2026-02-01T00:00:00Z", "to": "2026-03-01T00:00:00+00:00"}


@pytest.fixture(scope="module")
def org(server: Server) -> str:
    """Credits of two operations, and of none, in three months; the current usage period is March."""
    org = server.organization("unsiloed", {"plan": "Growth", "anchor": "2026-01-01", "interval": "P1M"})
    amounts = {
        ("2026-01-31T23:59:59.999999Z", "parse"): 1,
        ("2026-02-01T00:00:00Z", "parse"): 2,
        ("2026-02-10T00:00:00Z", "extract"): 4,
        ("2026-02-11T00:00:00Z", "split & merge"): 8,
        ("2026-02-28T23:59:59Z", ""): 16,
        ("2026-03-01T00:00:00Z", "parse"): 32,
        ("2026-03-02T00:00:00Z", "extract"): 64,
    }
    events = [
        event("credit.used", org, {"amount": each, **({"operation": operation} if operation else {})}, at=at)
        for (at, operation), each in amounts.items()
    ]
    assert server.send("unsiloed", events)["ingested"] == len(events)
    return org


def page(server: Server, org: str, query: dict[str, Any]) -> dict[str, Any]:
    listed = server.admin("GET", f"/v1/organizations/{org}/events?{urlencode({'meter': 'credits', **query}, True)}")
    assert listed.status_code == 200, listed.text
    body: dict[str, Any] = listed.json()
    return body


def total(server: Server, org: str, query: dict[str, Any]) -> int:
    return sum(each["value"] for each in page(server, org, query)["events"])


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, 96),
        (FEBRUARY, 30),
        ({"from": "2026-02-28T23:59:59Z"}, 112),
        ({"to": "2026-02-01T00:00:00Z"}, 1),
        ({"filter.operation": "parse"}, 32),
        ({"filter.operation": ["parse", "extract", "parse"]}, 96),
        ({"filter.operation": "PARSE"}, 0),
        ({**FEBRUARY, "filter.operation": ""}, 16),
        ({**FEBRUARY, "filter.operation": "split & merge"}, 8),
        ({**FEBRUARY, "filter.operation": ["extract", "split & merge"]}, 12),
        ({"from": "2026-02-01T00:00:00.000001Z", "to": "2026-02-10T00:00:00.000001Z"}, 4),
    ],
)
def test_which_events(server: Server, org: str, query: dict[str, Any], expected: int) -> None:
    assert total(server, org, query) == expected


def test_pages_go_on_with_the_same_span_and_filters(server: Server, org: str) -> None:
    query = {**FEBRUARY, "filter.operation": ["parse", "extract", "split & merge"]}
    values, found = [], page(server, org, {**query, "limit": 1})
    while True:
        values += [each["value"] for each in found["events"]]
        if found["next"] is None:
            break
        found = server.admin("GET", found["next"]).json()
    assert values == [8, 4, 2]


def test_a_cursor_is_good_for_its_own_span_and_filters_only(server: Server, org: str) -> None:
    query = {**FEBRUARY, "filter.operation": ["parse", "extract"], "limit": 1}
    cursor = page(server, org, query)["next"].partition("cursor=")[2].partition("&")[0]
    assert page(server, org, {**query, "cursor": cursor})["events"][0]["value"] == 2
    linked = server.admin("GET", f"/v1/organizations/{org}/usage?links=true").json()["meters"]["credits"]["events"]
    of_link = linked.partition("cursor=")[2]
    for changed in (
        {**query, "to": "2026-03-02T00:00:00Z", "cursor": cursor},
        {**query, "filter.operation": "parse", "cursor": cursor},
        {"filter.operation": ["parse", "extract"], "cursor": cursor},
        {"cursor": cursor},
        {**FEBRUARY, "cursor": of_link},
        {"filter.operation": "parse", "cursor": of_link},
    ):
        answer = server.admin(
            "GET", f"/v1/organizations/{org}/events?{urlencode({'meter': 'credits', **changed}, True)}"
        )
        assert answer.status_code == 400, changed
        assert answer.json()["detail"].startswith("cursor is not a cursor of this list"), changed


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("from=2026-03-01", "from: '2026-03-01' is not an RFC 3339"),
        ("to=yesterday", "to: 'yesterday' is not an RFC 3339"),
        ("from=2026-03-01T00:00:00Z&to=2026-02-01T00:00:00Z", "from: 2026-03-01T00:00:00Z is not before to"),
        ("from=2026-03-01T00:00:00Z&to=2026-03-01T00:00:00Z", "from: 2026-03-01T00:00:00Z is not before to"),
        ("filter.operaton=parse", "filter.operaton: credits is not grouped by that; did you mean filter.operation?"),
        ("filter.amount=1", "filter.amount: credits is not grouped by that; there is filter.operation"),
        ("filter.operation.name=1", "did you mean filter.operation?"),
        (f"filter.operation={'x' * 10_240}", "filter.operation: has more than 1,000 bytes"),
        ("&".join(f"filter.operation={n}" for n in range(101)), "filter.operation: has 101 texts; at most 100"),
        ("fliter.operation=parse", "unknown query parameter 'fliter.operation'; did you mean filter.operation?"),
        ("filter=parse", "unknown query parameter 'filter'"),
        ("filter.=parse", "filter.: credits is not grouped by that; there is filter.operation"),
        ("form=2026-02-01T00:00:00Z", "unknown query parameter 'form'; did you mean from?"),
        ("from=2026-02-01T00:00:00Z&from=2026-02-01T00:00:00Z", "from must be given once"),
        ("zzz=1", "there is cursor, filter.<property>, from, limit, meter, to"),
    ],
)
def test_misuse_is_named(server: Server, org: str, query: str, words: str) -> None:
    answer = server.admin("GET", f"/v1/organizations/{org}/events?meter=credits&{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json"), answer.text
    assert words in answer.json()["detail"]


def test_a_meter_that_nothing_groups_has_no_filters(server: Server) -> None:
    org = server.organization("autoposting")
    answer = server.admin("GET", f"/v1/organizations/{org}/events?meter=clips_uploaded&filter.model=x")
    assert (answer.status_code, "filter.model: clips_uploaded is not grouped by anything" in answer.text) == (400, True)


def test_another_endpoint_takes_no_filters(server: Server, org: str) -> None:
    answer = server.admin("GET", f"/v1/organizations/{org}/usage?filter.operation=parse")
    assert (answer.status_code, "unknown query parameter 'filter.operation'" in answer.text) == (400, True)

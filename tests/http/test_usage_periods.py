"""Usage of earlier periods, and what is compared with them. The server's clock stands at 15 March 2026, noon UTC."""

from __future__ import annotations

from typing import Any

import pytest

from meterhouse.domain.position import parse_position
from support.server import Server, event


def subscription(anchor: str, interval: str | None = "P30D", credits: int = 100) -> dict[str, Any]:
    return {"plan": None, "anchor": anchor, "interval": interval, "limits": {"credits": credits}}


def spend(server: Server, organization: str, amounts: dict[str, int]) -> dict[str, Any]:
    """Sends an event for each instant; what is used then."""
    sent = [event("credit.used", organization, {"amount": each}, at=at) for at, each in amounts.items()]
    return server.send("unsiloed", sent)


def usage(server: Server, organization: str, query: str = "") -> dict[str, Any]:
    answer = server.admin("GET", f"/v1/organizations/{organization}/usage?{query}")
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    assert body["period"] == body["meters"]["credits"]["period"]
    assert body["resets_at"] == body["period"]["end"] == body["meters"]["credits"]["resets_at"]
    return body


def credits(server: Server, organization: str, query: str = "") -> dict[str, Any]:
    meter: dict[str, Any] = usage(server, organization, query)["meters"]["credits"]
    return meter


def test_the_previous_period_whole_and_until_the_same_point(server: Server) -> None:
    # Periods begin on 10 January, 9 February and 11 March, so that four and a half days have passed.
    org = server.organization("unsiloed", subscription("2026-01-10"))
    spend(
        server,
        org,
        {
            "2026-02-08T23:59:59Z": 1,
            "2026-02-09T00:00:00Z": 20,
            "2026-02-13T11:59:59.999999Z": 300,
            "2026-02-13T12:00:00Z": 4_000,
            "2026-03-10T23:59:59Z": 50_000,
            "2026-03-11T00:00:00Z": 600_000,
        },
    )
    meter = credits(server, org)
    assert (meter["used"], meter["previous"]) == (600_000, {"used": 54_320, "used_by_now": 320})
    assert credits(server, org, "period=previous")["previous"] == {"used": 1, "used_by_now": 1}


@pytest.mark.parametrize(
    "subscribed",
    [None, subscription("2026-01-01", None), subscription("2026-03-01"), subscription("2026-06-01")],
    ids=["no subscription", "no interval", "the first period", "before the anchor"],
)
def test_no_previous_period(server: Server, subscribed: dict[str, Any] | None) -> None:
    org = server.organization("unsiloed", subscribed)
    spend(server, org, {"2026-02-20T00:00:00Z": 5})
    assert credits(server, org)["previous"] is None
    answer = server.admin("GET", f"/v1/organizations/{org}/usage?period=previous")
    assert (answer.status_code, "period: there is no usage period before" in answer.text) == (400, True)


def test_months_of_different_lengths(server: Server) -> None:
    org = server.organization("unsiloed", subscription("2024-12-31", "P1M"))
    spend(server, org, {"2026-01-28T00:00:00Z": 7, "2026-02-27T23:00:00Z": 30})
    # The period from 31 January is over after 28 days: by then it was 28 January in the one before.
    assert credits(server, org, "period=previous")["previous"] == {"used": 7, "used_by_now": 0}
    current = usage(server, org)
    assert current["period"] == {"start": "2026-02-28T00:00:00Z", "end": "2026-03-31T00:00:00Z"}
    assert current["meters"]["credits"]["previous"] == {"used": 30, "used_by_now": 0}
    # A year before, the one from 28 February is over after 31 days, more than the one before it had.
    spend(server, org, {"2025-02-27T23:00:00Z": 30, "2025-03-01T00:00:00Z": 500})
    assert credits(server, org, "period_of=2025-03-30T00:00:00Z")["previous"] == {"used": 30, "used_by_now": 30}


def test_at_the_first_instant_of_a_period_nothing_was_used_by_now(server: Server) -> None:
    org = server.organization("unsiloed", subscription("2026-02-13T12:00:00Z"))
    spend(server, org, {"2026-02-13T12:00:00Z": 7})
    assert credits(server, org)["previous"] == {"used": 7, "used_by_now": 0}


def test_an_earlier_period_with_what_is_known_now(server: Server) -> None:
    org = server.organization("unsiloed", subscription("2026-01-10"))
    spend(server, org, {"2026-01-09T00:00:00Z": 3, "2026-02-09T00:00:00Z": 40, "2026-03-11T00:00:00Z": 500})
    previous = usage(server, org, "period=previous")
    meter = previous["meters"]["credits"]
    assert previous["period"] == {"start": "2026-02-09T00:00:00Z", "end": "2026-03-11T00:00:00Z"}
    assert (meter["used"], meter["remaining"], meter["percent"], meter["forecast"]) == (40, 60, 40, None)
    assert (previous["as_of"], previous["plan"]) == ("2026-03-15T12:00:00Z", None)
    for instant in ("2026-02-09T00:00:00Z", "2026-03-11T00:59:59.999999%2B01:00"):
        assert usage(server, org, f"period_of={instant}") == previous
    assert credits(server, org, "period_of=2026-01-09T23:59:59Z")["used"] == 3, "before the anchor"
    assert usage(server, org, "period=current") == usage(server, org, "period_of=2026-04-09T00:00:00Z")
    spend(server, org, {"2026-02-10T00:00:00Z": 1})
    assert credits(server, org, "period=previous")["used"] == 41, "history may come late"
    links = usage(server, org, "period=previous&links=true")["meters"]["credits"]["events"]
    assert sum(each["value"] for each in server.admin("GET", links).json()["events"]) == 41


def test_an_earlier_period_with_what_was_known_then(server: Server) -> None:
    """Everything was received at noon of 15 March."""
    org = server.organization("unsiloed", subscription("2026-01-10"))
    spend(server, org, {"2026-01-10T00:00:00Z": 6, "2026-02-09T00:00:00Z": 40})
    for query, start, used in (
        ("as_of=2026-03-15T12:00:00Z&period=previous", "2026-02-09", 40),
        ("as_of=2026-03-15T12:00:00Z&period_of=2026-01-20T00:00:00Z", "2026-01-10", 6),
        ("as_of=2026-03-15T11:59:59Z&period=previous", "2026-02-09", 0),
        ("as_of=2026-02-20T00:00:00Z&period=previous", "2026-01-10", 0),
    ):
        found = usage(server, org, query)
        assert found["period"]["start"] == f"{start}T00:00:00Z", query
        assert found["meters"]["credits"]["used"] == used, query
        assert found["as_of"] in query


@pytest.mark.thorough
def test_a_period_of_centuries(server: Server) -> None:
    """No rollup has anything before 1900: such a period is refused, whether rollups are there or not."""
    org = server.organization("unsiloed", subscription("2026-01-10", "P9999M"))
    for _ in range(2):
        answer = server.admin("GET", f"/v1/organizations/{org}/usage?period_of=1900-01-01T00:00:00Z")
        assert (answer.status_code, answer.json()["detail"][:43]) == (
            400,
            "period_of: that usage period begins before ",
        )
        assert credits(server, org)["forecast"] is None
        spend(server, org, {"1900-01-01T00:00:00Z": 1})
        server.folded()
    server.subscribe(org, subscription("1900-01-01", "P9999M"))
    assert credits(server, org, "period_of=1900-01-01T00:00:00Z")["used"] == 2
    server.subscribe(org, subscription("2026-01-01", "P1M"))
    assert credits(server, org, "period_of=1900-01-01T00:00:00Z")["used"] == 2


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("period=next", "period: 'next' is not current or previous"),
        ("period_of=garbage", "period_of: 'garbage' is not an RFC 3339"),
        ("period_of=2026-03-01", "period_of: '2026-03-01' is not an RFC 3339"),
        ("period=current&period_of=2026-03-01T00:00:00Z", "period and period_of exclude each other"),
        ("period_of=2026-05-01T00:00:00Z", "period_of: the usage period of 2026-05-01T00:00:00Z is still to come"),
        ("as_of=2026-02-01T00:00:00Z&period_of=2026-03-01T00:00:00Z", "is still to come"),
        ("period=previous&period=previous", "period must be given once"),
        ("perriod=previous", "did you mean period?"),
        ("period_off=2026-03-01T00:00:00Z", "did you mean period_of?"),
        ("period=", "period is empty"),
    ],
)
def test_what_is_no_period(server: Server, query: str, words: str) -> None:
    org = server.organization("unsiloed", subscription("2026-01-10"))
    answer = server.admin("GET", f"/v1/organizations/{org}/usage?{query}")
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert words in answer.json()["detail"]


def test_an_instant_before_the_only_period(server: Server) -> None:
    org = server.organization("unsiloed", subscription("2026-01-10", None))
    answer = server.admin("GET", f"/v1/organizations/{org}/usage?period_of=2026-01-09T00:00:00Z")
    assert (answer.status_code, answer.json()["detail"][:10]) == (400, "period_of:")


def test_positions_of_reports_and_answers(server: Server) -> None:
    """Every way to report, and each answer: at or after the commit of the events, also of those that came twice."""
    org = server.organization("unsiloed")
    events = [event("credit.used", org, {"amount": 1}) for _ in range(3)]
    first = server.send("unsiloed", events)
    later = server.send("unsiloed", [event("credit.used", org, {"amount": 1})])
    again = server.send("unsiloed", events)
    headers = {"ce-specversion": "1.0", "ce-id": "b", "ce-source": "tests", "ce-type": "credit.used", "ce-subject": org}
    binary = server.admin("POST", "/v1/events?namespace=unsiloed", {"amount": 1}, headers=headers).json()
    refused = server.send("unsiloed", [{"id": "none"}])
    nothing = server.admin("POST", "/v1/events?namespace=unsiloed", []).json()
    reports = [first, later, again, binary, refused, nothing]
    commits = [parse_position(each["position"])[0] for each in reports]
    assert [again["duplicates"], binary["ingested"], refused["rejected"]] == [3, 1, 1]
    assert commits == sorted(commits)
    assert commits[0] < commits[1] < commits[3]
    assert parse_position(usage(server, org)["position"])[0] >= commits[-1]
    before = usage(server, org, "as_of=2026-03-15T11:59:59Z")
    assert before["position"] == "0-0"

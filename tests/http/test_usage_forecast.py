"""Forecasts of the usage endpoint. The server's clock stands at 15 March 2026, noon UTC."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from support.server import Server, event

NOON = datetime(2026, 3, 15, 12, tzinfo=UTC)
MARCH = {"plan": None, "anchor": "2026-02-01", "interval": "P1M", "limits": {"credits": 100}}


def spend(server: Server, organization: str, since: datetime, amount: int = 1) -> None:
    """Every six hours until now."""
    count = (NOON - since) // timedelta(hours=6)
    instants = [since + each * timedelta(hours=6) for each in range(count)]
    events = [event("credit.used", organization, {"amount": amount}, at=at.isoformat()) for at in instants]
    assert server.send("unsiloed", events)["ingested"] == count


def credits(server: Server, organization: str, query: str = "") -> dict[str, Any]:
    answer = server.admin("GET", f"/v1/organizations/{organization}/usage?{query}")
    assert answer.status_code == 200, answer.text
    meter: dict[str, Any] = answer.json()["meters"]["credits"]
    return meter


def test_a_steady_organization(server: Server) -> None:
    org = server.organization("unsiloed", MARCH)
    spend(server, org, datetime(2026, 2, 8, tzinfo=UTC))
    meter = credits(server, org)
    # 58 until noon of 15 March, 66 more until April; 42 of them reach the limit, each within an hour.
    profile = {"used": 124, "low": 124, "high": 124, "exhausted_at": "2026-03-25T19:00:00Z", "method": "profile"}
    assert (meter["used"], meter["forecast"]) == (58, profile)
    server.subscribe(org, {**MARCH, "limits": {"credits": 58}})
    assert credits(server, org)["forecast"]["exhausted_at"] == "2026-03-15T12:00:00Z"
    server.subscribe(org, {**MARCH, "limits": {"credits": 125}})
    assert credits(server, org)["forecast"] == {**profile, "exhausted_at": None}
    server.subscribe(org, {**MARCH, "interval": "P2M"})
    assert credits(server, org)["forecast"]["used"] == 58 + 21 * 4 + 66


def test_a_young_organization(server: Server) -> None:
    org = server.organization("unsiloed", MARCH)
    spend(server, org, datetime(2026, 3, 10, tzinfo=UTC), 2)
    meter = credits(server, org)
    run_rate = {"used": 176, "low": None, "high": None, "exhausted_at": "2026-03-22T07:00:00Z", "method": "run_rate"}
    assert (meter["used"], meter["forecast"]) == (44, run_rate)


def test_the_past_is_read_once_an_hour_and_used_is_always_exact(server: Server) -> None:
    org = server.organization("unsiloed", MARCH)
    assert credits(server, org)["forecast"] is None
    spend(server, org, datetime(2026, 2, 8, tzinfo=UTC))
    assert credits(server, org)["forecast"]["used"] == 124, "the first events are noticed at once"
    assert server.send("unsiloed", [event("credit.used", org, {"amount": 30}, at="2026-03-09T03:00:00Z")])["ingested"]
    meter = credits(server, org)
    assert (meter["used"], meter["forecast"]["used"]) == (88, 88 + 66)
    later = credits(server, org, "as_of=2026-03-15T12:00:00Z")
    assert (later["used"], later["forecast"]["used"] > 88 + 66) == (88, True), "what was known then is read anew"
    assert credits(server, org) == meter


def test_no_forecast(server: Server) -> None:
    for subscription in (None, {**MARCH, "interval": None}):
        org = server.organization("unsiloed", subscription)
        spend(server, org, datetime(2026, 2, 8, tzinfo=UTC))
        assert credits(server, org)["forecast"] is None
    org = server.organization("unsiloed", MARCH)
    spend(server, org, datetime(2026, 2, 8, tzinfo=UTC))
    assert credits(server, org, "period=previous")["forecast"] is None
    assert credits(server, org, "as_of=2026-03-15T11:59:59Z")["forecast"] is None, "nothing had been received"
    posts = server.organization("autoposting", {"plan": "Creator", "anchor": "2026-02-01", "interval": "P1M"})
    data = {"state": "published", "source": "api"}
    states = [event("post.state", posts, {"post_id": n, **data}, at=f"2026-02-{n:02}T00:00:00Z") for n in range(1, 29)]
    assert server.send("autoposting", states)["ingested"] == 28
    meter = server.usage(posts)["meters"]["posts"]
    assert (meter["aggregation"], meter["previous"]["used"], meter["forecast"]) == ("STATE_COUNT", 28, None)

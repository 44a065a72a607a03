"""How contracts print numbers and times: digits without an exponent, and whole seconds."""

from __future__ import annotations

import re

import pytest

from support.server import Server, event

FRACTION = "2026-03-10T08:30:00.25Z"


def test_small_and_large_numbers_have_no_exponent(server: Server) -> None:
    org = server.organization("unsiloed", {"plan": "Free", "anchor": "2026-03-01", "interval": "P30D", "limits": {}})
    server.subscribe(org, {"plan": None, "anchor": "2026-03-01", "interval": "P30D", "limits": {"credits": "1e20"}})
    server.send("unsiloed", [event("credit.used", org, {"amount": "0.00000011"}, at="2026-03-02T00:00:00Z")])
    text = server.http.get("/org/get_usage", headers={"api-key": server.key(org)}).text
    assert '"current_usage":0.00000011,"usage_limit":100000000000000000000,' in text
    assert '"remaining_quota":99999999999999999999.99999989,' in text
    own = server.admin("GET", f"/v1/organizations/{org}/usage").text
    assert '"used":0.00000011,"limit":100000000000000000000,' in own
    refused = server.admin("GET", f"/v1/organizations/{org}/quota/credits", params={"amount": "1e20"})
    assert (refused.status_code, '"current":0.00000011,' in refused.text) == (402, True)


def test_the_sdks_costs_have_no_exponent(server: Server) -> None:
    org = server.organization("autoposting")
    use = {"model": "m", "input_tokens": 1, "output_tokens": 1, "cost": "0.0000001"}
    server.send("autoposting", [event("ai.usage", org, use, at="2026-03-15T12:00:00Z")])
    headers = {"x-api-key": server.key(org), "x-source": "sdk"}
    assert '"totalCostUsd":0.0000001,' in server.http.get("/usage/summary", headers=headers).text


@pytest.mark.parametrize("remaining", [("4.5", "1.9", 3), ("4.9", "1.2", 3), ("0.9", "0.1", 0), ("2", "3.5", 0)])
def test_whole_numbers_agree_with_each_other(server: Server, remaining: tuple[str, str, int]) -> None:
    allocated, used, left = remaining
    org = server.organization("autoposting", {"plan": None, "anchor": "2026-03-01", "interval": "P1M"})
    subscription = {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {"credits": allocated}}
    server.subscribe(org, subscription)
    server.send("autoposting", [event("credit.used", org, {"amount": used}, at="2026-03-02T00:00:00Z")])
    body = server.http.get("/usage/summary", headers={"x-api-key": server.key(org)}).json()["data"]
    assert body["credits"] == {"allocated": int(float(allocated)), "used": int(float(used)), "remaining": left}
    assert list(body["posts"]) == ["published", "scheduled", "failed"]


def test_times_have_whole_seconds(server: Server) -> None:
    org = server.organization("autoposting", created_at=FRACTION)
    text = server.http.get("/usage/summary", headers={"x-api-key": server.key(org)}).text
    assert '"period":{"start":"2026-03-10T08:30:00Z","end":"2026-04-10T08:30:00Z"}' in text
    workspace = server.organization("onepin", created_at="2026-01-01T00:00:00Z")
    server.send("onepin", [event("workspace.activity", workspace, {"action": "template_applied"}, at=FRACTION)])
    headers = {"authorization": f"Bearer {server.key(workspace, user_id='ada')}"}
    answer = server.http.get("/api/v1/usage/activity", headers=headers)
    assert answer.json()["data"][0]["timestamp"] == "2026-03-10T08:30:00Z"
    assert not re.search(r"\d\d:\d\d:\d\d\.", answer.text)

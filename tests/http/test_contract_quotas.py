"""Limits of organizations that speak a contract: what flex sells beyond them, and in whose words they refuse."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.server import ADMIN_KEY, Server, event, serve

CATALOG = """
namespace = "listening"
contract = "octolens"
flex = "mentions"

[[meters]]
slug = "mentions"
event_type = "mention.found"
aggregation = "COUNT"
group_by = ["team"]

[[meters]]
slug = "keywords"
event_type = "keyword.followed"
aggregation = "COUNT"

[[plans]]
slug = "Pro"
limits = { mentions = 100, keywords = 5 }

[[plans]]
slug = "Teams"
limits = { mentions = [100, { amount = 2, per = "team" }] }
"""
FLEX = {"enabled": True, "budget_cents": "1050.5", "unit_price_cents": 25}  # buys 42
UNSILOED = {"plan": None, "anchor": "2026-03-10", "interval": "P30D", "limits": {"credits": 100}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("flex")
    listening, own = folder / "listening.toml", folder / "own.toml"
    listening.write_text(CATALOG)
    own.write_text(CATALOG.replace("listening", "own").replace('contract = "octolens"', ""))
    catalogs = Path(__file__).parents[2] / "src" / "meterhouse" / "catalogs"
    files = [listening, own, catalogs / "unsiloed.toml", catalogs / "octolens.toml"]
    with serve(folder / "data", arguments=[part for file in files for part in ("--catalog", str(file))]) as made:
        yield made


def somebody(server: Server, flex: dict[str, Any] | None, plan: str = "Pro", namespace: str = "listening") -> str:
    subscription = {"plan": plan, "anchor": "2026-01-01", "interval": "P1M", "flex": flex}
    return server.organization(namespace, subscription)


def reserve(server: Server, organization: str, amount: object = 1, meter: str = "mentions", **more: Any) -> Any:
    body = {"meter": meter, "amount": amount, **more}
    return server.admin("POST", f"/v1/organizations/{organization}/reservations", body)


def check(server: Server, organization: str, amount: object, meter: str = "mentions") -> dict[str, Any]:
    asked = server.admin("POST", f"/v1/organizations/{organization}/check", {"meter": meter, "amount": amount})
    assert asked.status_code == 200, asked.text
    return dict(asked.json())


def test_flex_sells_exactly_what_its_budget_buys(server: Server) -> None:
    """32 clients, who reserve and use, and who send enforced events."""
    organization = somebody(server, FLEX)

    def client(number: int) -> int:
        headers, used = {"authorization": f"Bearer {ADMIN_KEY}"}, 0
        with httpx.Client(base_url=server.http.base_url, timeout=60, trust_env=False, headers=headers) as http:
            for turn in range(6):
                found = event("mention.found", organization, {})
                if (number + turn) % 2:
                    name = f"c{number}-{turn}"
                    path = f"/v1/organizations/{organization}/reservations"
                    made = http.post(path, json={"meter": "mentions", "id": name})
                    assert made.status_code in (201, 402), made.text
                    if made.status_code == 201:
                        assert http.post(f"{path}/{name}/commit", json={"event": found}).status_code == 200
                        used += 1
                else:
                    sent = http.post("/v1/events?namespace=listening&enforce=true", json=[found])
                    assert sent.status_code in (200, 422), sent.text
                    used += sent.json()["ingested"]
        return used

    with ThreadPoolExecutor(32) as pool:
        assert sum(pool.map(client, range(32))) == 142
    assert server.usage(organization)["meters"]["mentions"]["used"] == 142
    assert reserve(server, organization).status_code == 402
    key = server.key(organization)
    told = server.http.get("/api/v2/org/usage", headers={"authorization": f"Bearer {key}"}).json()
    assert (told["mentions"]["count"], told["mentions"]["limit"], told["flex"]["used"]) == (100, 100, 42)


@pytest.mark.parametrize(
    ("flex", "namespace", "bought"),
    [
        (None, "listening", 0),
        (FLEX | {"enabled": False}, "listening", 0),
        (FLEX | {"unit_price_cents": 0}, "listening", 0),
        (FLEX | {"budget_cents": "24.999"}, "listening", 0),
        (FLEX | {"budget_cents": 25}, "listening", 1),
        (FLEX, "listening", 42),
        (FLEX, "own", 42),
    ],
)
def test_flex_is_of_the_subscription(server: Server, flex: dict[str, Any] | None, namespace: str, bought: int) -> None:
    organization = somebody(server, flex, namespace=namespace)
    limit = 100 + bought
    answer = check(server, organization, limit)
    assert (answer["allowed"], answer["left"], answer["limits"][0]["limit"]) == (True, limit, limit)
    assert not check(server, organization, limit + 1)["allowed"]
    path = f"/v1/organizations/{organization}/quota/mentions"
    asked = [server.admin("GET", path, params={"amount": amount}).status_code for amount in (limit, limit + 1)]
    assert asked == [200, 402]
    assert server.usage(organization)["meters"]["mentions"]["limit"] == 100  # what is sold beyond it is no limit of it


def test_flex_sells_of_one_meter_only_and_lifts_no_other_limit(server: Server) -> None:
    assert check(server, somebody(server, FLEX), 1, "keywords")["left"] == 5
    organization = somebody(server, FLEX, "Teams")
    assert reserve(server, organization, 3, **{"for": {"team": "blue"}}).status_code == 402


def test_a_product_without_enforced_meters_sells_as_well(server: Server) -> None:
    """Mentions of the built-in catalog are a UNIQUE_COUNT: nothing is held, the quota is asked."""
    organization = somebody(server, FLEX, "Free_trial", "octolens")
    path = f"/v1/organizations/{organization}/quota/mentions"
    assert server.admin("GET", path, params={"amount": 542}).json()["limit"] == 542
    assert server.admin("GET", path, params={"amount": 543}).status_code == 402


def test_octolens_refuses_in_its_own_words(server: Server) -> None:
    organization = somebody(server, None)
    reserve(server, organization, 60)
    refused = reserve(server, organization, 50)
    assert (refused.status_code, refused.headers["content-type"]) == (402, "application/json")
    assert refused.json() == {
        "error": {
            "code": "QUOTA_EXCEEDED",
            "message": "mentions: the limit of the organization is 100 in a period, 0 are used and 60 reserved",
            "status": 402,
        }
    }
    of_team = reserve(server, somebody(server, FLEX, "Teams"), 3, **{"for": {"team": "blue"}})
    assert of_team.json()["error"]["message"].startswith("mentions: the limit of team 'blue' is 2 in a period")
    asked = server.admin("GET", f"/v1/organizations/{organization}/quota/mentions", params={"amount": 101})
    assert (asked.status_code, asked.json()["error"]["code"]) == (402, "QUOTA_EXCEEDED")


def test_unsiloed_refuses_in_its_own_words(server: Server) -> None:
    organization = server.organization("unsiloed", UNSILOED)
    server.send("unsiloed", [event("credit.used", organization, {"amount": "48.5"})])
    assert reserve(server, organization, 50, "credits").status_code == 201
    refused = reserve(server, organization, 2, "credits")
    assert (refused.status_code, refused.headers["content-type"]) == (402, "application/json")
    assert refused.text == (
        '{"detail":{"message":"Insufficient quota","status":"QUOTA_EXCEEDED",'
        '"quota_data":{"current":98.5,"limit":100,"remaining":1.5}}}'
    )


@pytest.mark.parametrize(("namespace", "meter"), [("own", "mentions"), ("listening", "keywords")])
def test_where_the_product_has_no_words_a_problem_names_the_limit(server: Server, namespace: str, meter: str) -> None:
    refused = reserve(server, somebody(server, None, namespace=namespace), 101, meter)
    assert (refused.status_code, refused.headers["content-type"]) == (402, "application/problem+json")
    assert (refused.json()["code"], refused.json()["limit"]["meter"]) == ("quota_exceeded", meter)


def test_what_was_not_granted_is_told_in_reports_as_ever(server: Server) -> None:
    organization = somebody(server, None)
    found = [event("mention.found", organization, {}) for _ in range(101)]
    report = server.admin("POST", "/v1/events?namespace=listening&enforce=true", found).json()
    assert (report["ingested"], [each["code"] for each in report["errors"]]) == (100, ["quota_exceeded"])

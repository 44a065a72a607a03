"""Limits of pools: an allowance that several meters draw on, and what is held of it, on the real server."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.server import ADMIN_KEY, Server, event, serve

CATALOG = """
namespace = "ai"

[[meters]]
slug = "input"
event_type = "llm.call"
aggregation = "SUM"
value = "input"
optional = true

[[meters]]
slug = "output"
event_type = "llm.call"
aggregation = "SUM"
value = "output"
optional = true

[[meters]]
slug = "images"
event_type = "image.made"
aggregation = "COUNT"

[[plans]]
slug = "Pro"
limits = { credits = 100 }

[[plans]]
slug = "Capped"
limits = { credits = 100, output = 10 }

[[plans]]
slug = "Prepaid"
limits = { credits = 0 }

[[plans]]
slug = "Free"
limits = { images = 5 }

[[plans]]
slug = "Watched"
limits = { credits = [{ amount = 20, window = "day", mode = "soft" }, { amount = 10, mode = "shadow" }] }

[pools.credits]
rates = { input = 1, output = 3, images = "0.25" }
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalog") / "ai.toml"
    path.write_text(CATALOG)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, catalog: Path) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("pools") / "data", arguments=("--catalog", str(catalog))) as made:
        yield made


def somebody(server: Server, plan: str | None = "Pro", **more: Any) -> str:
    return server.organization("ai", {"plan": plan, "anchor": "2026-01-01", "interval": "P1M", **more})


def asked(server: Server, organization: str, path: str, body: object, method: str = "POST") -> httpx.Response:
    return server.admin(method, f"/v1/organizations/{organization}/{path}", body)


def reserve(server: Server, organization: str, meter: str, amount: object, **more: Any) -> httpx.Response:
    return asked(server, organization, "reservations", {"meter": meter, "amount": amount, **more})


def commit(server: Server, organization: str, reservation: str, sent: dict[str, Any]) -> httpx.Response:
    return asked(server, organization, f"reservations/{reservation}/commit", {"event": sent})


def left(server: Server, organization: str, meter: str = "credits") -> Decimal | None:
    answer = asked(server, organization, "check", {"meter": meter, "amount": 1})
    assert answer.status_code == 200, answer.text
    found = answer.json(parse_float=Decimal)["left"]
    return None if found is None else Decimal(found)


def call(organization: str, **data: Any) -> dict[str, Any]:
    return event("llm.call", organization, data)


def balance(server: Server, organization: str) -> dict[str, Any]:
    return dict(asked(server, organization, "balances/credits", None, "GET").json())


def test_the_plans_allowance_of_a_pool_burns_before_grants(server: Server) -> None:
    organization = somebody(server)
    assert asked(server, organization, "grants", {"id": "g", "meter": "credits", "amount": 50}).status_code == 201
    server.send("ai", [call(organization, input=10, output=20)])
    told = balance(server, organization)
    assert (told["balance"], told["allowance"], told["grants"][0]["left"]) == (
        80,
        {"limit": 100, "burned": 70, "left": 30},
        50,
    )
    assert left(server, organization) == 80
    server.send("ai", [call(organization, output=15)])
    told = balance(server, organization)
    assert (told["balance"], told["allowance"]["left"], told["grants"][0]["left"]) == (35, 0, 35)
    assert left(server, organization) == 35
    assert reserve(server, organization, "input", 36).status_code == 402


def test_a_meter_needs_room_in_the_pool_by_its_rate(server: Server) -> None:
    organization = somebody(server)
    assert (left(server, organization, "images"), left(server, organization, "input")) == (400, 100)
    assert left(server, organization, "output") == Decimal("33." + "3" * 28)
    assert reserve(server, organization, "output", "30", id="r").status_code == 201
    assert (left(server, organization), left(server, organization, "images")) == (10, 40)
    refused = reserve(server, organization, "images", 41)
    assert refused.status_code == 402
    assert refused.json()["detail"] == (
        "credits: the limit of the organization is 100 in a period, 0 are used and 90 reserved"
    )
    assert (refused.json()["limit"]["meter"], refused.json()["limit"]["left"]) == ("credits", 10)
    assert reserve(server, organization, "images", 40).status_code == 201
    assert commit(server, organization, "r", call(organization, output=29)).status_code == 200
    assert left(server, organization) == 3


def test_a_reservation_of_the_pool_is_used_by_whatever_draws_on_it(server: Server) -> None:
    organization = somebody(server)
    for name in ("text", "image", "none"):
        assert reserve(server, organization, "credits", 30, id=name).status_code == 201
    assert reserve(server, organization, "credits", "10.01").status_code == 402
    more = commit(server, organization, "text", call(organization, input=1, output=10))
    assert (more.status_code, more.json()["code"]) == (409, "reservation_mismatch")
    assert commit(server, organization, "text", call(organization, input=3, output=9)).status_code == 200
    assert commit(server, organization, "image", event("image.made", organization, {})).status_code == 200
    other = commit(server, organization, "none", event("thing.done", organization, {}))
    assert other.status_code == 409, other.text
    assert asked(server, organization, "reservations/none", None, "DELETE").status_code == 204
    assert left(server, organization) == Decimal("69.75")


def test_what_is_used_beside_what_is_reserved_needs_room_as_well(server: Server) -> None:
    organization = somebody(server)
    assert reserve(server, organization, "input", 10, id="r").status_code == 201
    beyond = commit(server, organization, "r", call(organization, input=10, output=31))
    assert (beyond.status_code, beyond.json()["code"]) == (409, "reservation_mismatch")
    assert "credits: the limit of the organization is 100" in beyond.json()["detail"]
    assert commit(server, organization, "r", call(organization, input=10, output=30)).status_code == 200
    assert left(server, organization) == 0
    capped = somebody(server, "Capped")
    assert reserve(server, capped, "credits", 60, id="r").status_code == 201
    refused = commit(server, capped, "r", call(capped, output=11))
    assert (refused.status_code, "output: the limit" in refused.json()["detail"]) == (409, True)
    used = call(capped, output=10)
    server.send("ai", [used])
    for _ in range(2):  # what is stored already needs no room
        assert commit(server, capped, "r", used).status_code == 200


def test_enforced_events_are_taken_as_far_as_the_pool_reaches(server: Server) -> None:
    organization = somebody(server)
    many = [call(organization, input=1, output=3) for _ in range(12)]
    report = server.admin("POST", "/v1/events?namespace=ai&enforce=true", many).json()
    assert (report["ingested"], report["rejected"], report["errors"][0]["index"]) == (10, 2, 10)
    assert report["errors"][0]["message"].startswith("credits: the limit of the organization is 100")
    assert left(server, organization) == 0


def test_a_pool_that_the_subscription_does_not_name_limits_nothing(server: Server) -> None:
    organization = somebody(server, "Free")
    assert asked(server, organization, "grants", {"meter": "credits", "amount": 1}).status_code == 201
    assert (left(server, organization), left(server, organization, "input")) == (None, None)
    assert left(server, organization, "images") == 5
    assert balance(server, organization)["allowance"]["limit"] == 0


def test_a_limit_of_nothing_leaves_what_was_granted(server: Server) -> None:
    organization = somebody(server, "Prepaid")
    assert reserve(server, organization, "images", 1).status_code == 402
    assert asked(server, organization, "grants", {"meter": "credits", "amount": 1}).status_code == 201
    assert reserve(server, organization, "images", 4).status_code == 201
    assert reserve(server, organization, "images", 1).status_code == 402


def test_a_subscription_overrides_the_allowance_of_a_pool(server: Server) -> None:
    assert left(server, somebody(server, limits={"credits": 7})) == 7
    assert left(server, somebody(server, None, limits={"credits": 7})) == 7
    organization = somebody(server)
    subscription = {"plan": "Pro", "anchor": "2026-01-01", "interval": "P1M"}
    for field in ({"addons": {"credits": {"recurring": 1}}}, {"limits": {"debits": 1}}):
        answer = asked(server, organization, "subscription", {**subscription, **field}, "PUT")
        assert (answer.status_code, "unknown meter" in answer.json()["detail"]) == (400, True)


def test_soft_and_shadow_limits_of_a_pool_only_tell(server: Server) -> None:
    organization = somebody(server, "Watched")
    answer = asked(server, organization, "check", {"meter": "output", "amount": 7}).json()
    assert answer["allowed"]
    assert [(each["meter"], each["window"], each["mode"]) for each in answer["exceeded"]] == [
        ("credits", "day", "soft"),
        ("credits", "period", "shadow"),
    ]


def test_many_at_once_are_granted_exactly_what_the_pool_has(server: Server) -> None:
    """Reservations of the pool and of its meters, and enforced events, at once."""
    organization = somebody(server)

    def client(number: int) -> Decimal:
        headers, used = {"authorization": f"Bearer {ADMIN_KEY}"}, Decimal(0)
        with httpx.Client(base_url=server.http.base_url, timeout=60, trust_env=False, headers=headers) as http:
            for turn in range(6):
                path, name = f"/v1/organizations/{organization}/reservations", f"c{number}-{turn}"
                kind = (number + turn) % 3
                sent, taken = [
                    (call(organization, input="0.5"), Decimal("0.5")),
                    (call(organization, output="0.5"), Decimal("1.5")),
                    (event("image.made", organization, {}), Decimal("0.25")),
                ][kind]
                if turn % 2:
                    body = [{"meter": "input", "amount": 1}, {"meter": "credits", "amount": 2}, {"meter": "images"}]
                    made = http.post(path, json={**body[kind], "id": name})
                    assert made.status_code in (201, 402), made.text
                    if made.status_code == 201:
                        done = http.post(f"{path}/{name}/commit", json={"event": sent})
                        assert done.status_code == 200, done.text
                        used += taken
                elif http.post("/v1/events?namespace=ai&enforce=true", json=[sent]).json()["ingested"]:
                    used += taken
        return used

    with ThreadPoolExecutor(32) as pool:
        used = sum(pool.map(client, range(32)), Decimal(0))
    assert used <= 100
    assert left(server, organization) == 100 - used == Decimal(str(balance(server, organization)["balance"]))
    rest = int((100 - used) / Decimal("0.25"))
    images = [event("image.made", organization, {}) for _ in range(rest + 1)]
    report = server.admin("POST", "/v1/events?namespace=ai&enforce=true", images).json()
    assert (report["ingested"], report["rejected"]) == (rest, 1)
    assert balance(server, organization)["balance"] == 0


def test_what_is_held_of_a_pool_outlives_a_crash(tmp_path: Path, catalog: Path) -> None:
    arguments = ("--catalog", str(catalog))
    with serve(tmp_path / "data", arguments=arguments) as server:
        organization = somebody(server)
        server.send("ai", [call(organization, input=10)])
        assert reserve(server, organization, "credits", 20, id="pool").status_code == 201
        assert reserve(server, organization, "output", 10, id="meter").status_code == 201
        server.kill()
    with serve(tmp_path / "data", arguments=arguments) as server:
        assert left(server, organization) == 40
        assert commit(server, organization, "pool", call(organization, output=6)).status_code == 200
        assert asked(server, organization, "reservations/meter", None, "DELETE").status_code == 204
        assert left(server, organization) == 72

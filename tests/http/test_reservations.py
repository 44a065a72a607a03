"""Limits that hold: asking, reserving, using, and letting go, on the real server."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.server import ADMIN_KEY, Server, event, serve

CATALOG = """
namespace = "shop"

[[meters]]
slug = "credits"
event_type = "credit.used"
aggregation = "SUM"
value = "amount"
group_by = ["team"]

[[meters]]
slug = "calls"
event_type = "call.made"
aggregation = "COUNT"

[[meters]]
slug = "seats"
event_type = "seat.used"
aggregation = "UNIQUE_COUNT"
value = "seat"

[[plans]]
slug = "plain"
limits = { credits = 100, calls = 10, seats = 5 }

[[plans]]
slug = "teams"
[plans.limits]
credits = [
    100,
    { amount = 10, per = "team" },
    { amount = 30, window = "hour", mode = "soft" },
    { amount = 5, window = "day", mode = "shadow" },
]

[[plans]]
slug = "hourly"
limits = { calls = { amount = 3, window = "hour" } }
"""


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("catalog") / "shop.toml"
    path.write_text(CATALOG)
    return path


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, catalog: Path) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("quota") / "data", arguments=("--catalog", str(catalog))) as made:
        yield made


def somebody(server: Server, plan: str = "plain") -> str:
    subscription = {"plan": plan, "anchor": "2026-01-01", "interval": "P1M"}
    return server.organization("shop", subscription)


def asked(server: Server, organization: str, path: str, body: object, method: str = "POST") -> httpx.Response:
    return server.admin(method, f"/v1/organizations/{organization}/{path}", body)


def reserve(
    server: Server, organization: str, amount: object = 1, meter: str = "credits", **more: Any
) -> httpx.Response:
    return asked(server, organization, "reservations", {"meter": meter, "amount": amount, **more})


def commit(server: Server, organization: str, reservation: str, sent: dict[str, Any], **more: Any) -> httpx.Response:
    return asked(server, organization, f"reservations/{reservation}/commit", {"event": sent, **more})


def left(server: Server, organization: str, meter: str = "credits", **question: Any) -> Decimal:
    answer = asked(server, organization, "check", {"meter": meter, "amount": 1, **question})
    assert answer.status_code == 200, answer.text
    return Decimal(str(answer.json()["left"]))


def credits(organization: str, amount: str, **data: Any) -> dict[str, Any]:
    return event("credit.used", organization, {"amount": amount, **data})


def test_a_reservation_from_its_beginning_to_its_end(server: Server) -> None:
    organization = somebody(server)
    assert left(server, organization) == 100
    server.send("shop", [credits(organization, "48")])
    assert left(server, organization) == 52
    made = reserve(server, organization, 50, id="job-1")
    assert made.status_code == 201, made.text
    assert left(server, organization) == 2
    listed = asked(server, organization, "reservations", None, "GET").json()
    assert [(each["id"], each["amount"]) for each in listed] == [("job-1", 50)]
    refused = reserve(server, organization, 3)
    assert refused.status_code == 402
    assert refused.json()["code"] == "quota_exceeded"
    assert refused.json()["limit"] | {"resets_at": None} == {
        "meter": "credits",
        "per": None,
        "value": None,
        "window": "period",
        "mode": "hard",
        "limit": 100,
        "used": 48,
        "reserved": 50,
        "left": 2,
        "resets_at": None,
    }
    used = credits(organization, "20")
    assert commit(server, organization, "job-1", used, amount=20).status_code == 200
    assert Decimal(server.usage(organization)["meters"]["credits"]["used"]) == 68
    assert left(server, organization) == 32
    again = commit(server, organization, "job-1", used)
    assert again.status_code == 200, again.text
    assert left(server, organization) == 32
    other = commit(server, organization, "job-1", credits(organization, "1"))
    assert (other.status_code, other.json()["code"]) == (409, "reservation_closed")


def test_what_is_released_or_expires_comes_back(server: Server) -> None:
    organization = somebody(server)
    assert reserve(server, organization, 100, id="all").status_code == 201
    assert reserve(server, organization).status_code == 402
    for _ in range(2):
        assert asked(server, organization, "reservations/all", None, "DELETE").status_code == 204
    assert left(server, organization) == 100
    assert reserve(server, organization, 100, id="short", expires_in_seconds=1).status_code == 201
    time.sleep(1.1)
    assert left(server, organization) == 100
    late = commit(server, organization, "short", credits(organization, "1"))
    assert (late.status_code, late.json()["code"]) == (409, "reservation_closed")
    assert "expired" in late.json()["detail"]
    assert asked(server, organization, "reservations/short", None, "DELETE").status_code == 204


def test_a_reservation_of_the_same_id_is_the_same(server: Server) -> None:
    organization = somebody(server)
    first = reserve(server, organization, 10, id="same").json()
    assert reserve(server, organization, 10, id="same").json() == first
    assert left(server, organization) == 90
    other = reserve(server, organization, 11, id="same")
    assert (other.status_code, other.json()["code"]) == (409, "already_exists")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (lambda organization: credits(organization, "11"), 409),
        (lambda _: credits("somebody-else", "1"), 400),
        (lambda organization: event("call.made", organization, {}), 409),
        (lambda organization: credits(organization, "1", team="blue") | {"time": "2020-01-01T00:00:00Z"}, 409),
        (lambda organization: credits(organization, "many"), 400),
    ],
)
def test_an_event_that_is_not_what_was_reserved(server: Server, sent: Any, status: int) -> None:
    organization = somebody(server)
    reserve(server, organization, 10, id="r")
    answer = commit(server, organization, "r", sent(organization))
    assert answer.status_code == status, answer.text
    assert left(server, organization) == 90
    assert commit(server, organization, "r", credits(organization, "2"), amount=3).status_code == 409
    assert commit(server, organization, "r", credits(organization, "2"), amount=2).status_code == 200


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        ({"meter": "credits", "amount": 0}, "amount"),
        ({"meter": "credits", "amount": -1}, "amount"),
        ({"meter": "credits", "amount": 10**38}, "digits"),
        ({"meter": "seats", "amount": 1}, "UNIQUE_COUNT"),
        ({"meter": "credits", "amount": "many"}, "amount"),
        ({"meter": "credits", "amounts": 1}, "amounts"),
        ({"meter": "credits", "amount": 1, "expires_in_seconds": 0}, "expires_in_seconds"),
        ({"meter": "credits", "amount": 1, "expires_in_seconds": 3601}, "expires_in_seconds"),
        ({"meter": "credits", "amount": 1, "for": {str(n): "x" for n in range(9)}}, "properties"),
    ],
)
def test_what_nobody_can_reserve(server: Server, question: dict[str, Any], expected: str) -> None:
    answer = asked(server, somebody(server), "reservations", question)
    assert answer.status_code == 400, answer.text
    assert expected in answer.json()["detail"]


def test_who_may_ask(server: Server) -> None:
    organization, other = somebody(server), somebody(server)
    keys = {scopes: server.key(organization, scopes=[*scopes]) for scopes in (("events:write",), ("usage:read",))}
    path = f"/v1/organizations/{organization}/check"
    for key, status in [
        (keys["events:write",], 200),
        (keys["usage:read",], 403),
        (server.key(other, scopes=["events:write"]), 403),
        ("mh_live_nobody", 401),
    ]:
        headers = {"authorization": f"Bearer {key}"}
        assert server.http.post(path, json={"meter": "credits"}, headers=headers).status_code == status
    assert asked(server, organization, "check", {"meter": "unknown"}).status_code == 404
    assert asked(server, "nobody", "check", {"meter": "credits"}).status_code == 404
    assert (
        asked(server, organization, "reservations/none/commit", {"event": credits(organization, "1")}).status_code
        == 404
    )


def test_limits_by_a_property_in_a_window_and_those_that_only_tell(server: Server) -> None:
    organization = somebody(server, "teams")
    answer = asked(server, organization, "check", {"meter": "credits", "amount": 8, "for": {"team": "blue"}}).json()
    assert answer["allowed"]
    assert [(each["per"], each["window"], each["mode"], each["left"]) for each in answer["limits"]] == [
        (None, "period", "hard", 100),
        ("team", "period", "hard", 10),
        (None, "hour", "soft", 30),
        (None, "day", "shadow", 5),
    ]
    assert [each["mode"] for each in answer["exceeded"]] == ["shadow"]
    assert reserve(server, organization, 8, **{"for": {"team": "blue"}}).status_code == 201
    refused = reserve(server, organization, 3, **{"for": {"team": "blue"}})
    assert (refused.status_code, refused.json()["limit"]["value"]) == (402, "blue")
    assert reserve(server, organization, 3, **{"for": {"team": "red"}}).status_code == 201
    wrong = reserve(server, organization, 1, id="w", **{"for": {"team": "green"}})
    assert wrong.status_code == 201
    assert commit(server, organization, "w", credits(organization, "1", team="red")).status_code == 409
    assert commit(server, organization, "w", credits(organization, "1", team="green")).status_code == 200


def test_enforced_events_are_taken_as_far_as_there_is_room(server: Server) -> None:
    organization = somebody(server)
    many = [event("call.made", organization, {}) for _ in range(14)]
    sent = server.admin("POST", "/v1/events?namespace=shop&enforce=true", many)
    report = sent.json()
    assert (sent.status_code, report["ingested"], report["rejected"]) == (200, 10, 4), report
    assert [each["code"] for each in report["errors"]] == ["quota_exceeded"] * 4
    assert [each["index"] for each in report["errors"]] == [10, 11, 12, 13]
    again = server.admin("POST", "/v1/events?namespace=shop&enforce=true", many).json()
    assert (again["ingested"], again["duplicates"], again["rejected"]) == (0, 10, 4)
    alone = server.admin("POST", "/v1/events?namespace=shop&enforce=true", [event("call.made", organization, {})])
    assert alone.status_code == 422
    assert (
        server.send("shop", [event("call.made", organization, {})])["ingested"] == 1
    )  # who does not ask is not refused
    hourly = somebody(server, "hourly")
    report = server.admin(
        "POST", "/v1/events?namespace=shop&enforce=true", [event("call.made", hourly, {}) for _ in range(5)]
    ).json()
    assert (report["ingested"], report["rejected"]) == (3, 2)


def test_a_correction_gives_room_back(server: Server) -> None:
    organization = somebody(server)
    sent = credits(organization, "100")
    server.send("shop", [sent])
    assert reserve(server, organization).status_code == 402
    void = {"source": sent["source"], "id": sent["id"], "organization": organization}
    answer = server.admin("POST", "/v1/corrections?namespace=shop", {"actor": "a", "reason": "r", "void": [void]})
    assert answer.status_code == 200, answer.text
    assert left(server, organization) == 100


def test_a_grant_is_room_and_its_end_takes_it_away(server: Server) -> None:
    organization = somebody(server)
    server.send("shop", [credits(organization, "100")])
    assert reserve(server, organization, 30).status_code == 402
    granted = asked(server, organization, "grants", {"id": "extra", "meter": "credits", "amount": 50})
    assert granted.status_code == 201, granted.text
    assert left(server, organization) == 50
    assert reserve(server, organization, 30, id="r").status_code == 201
    assert reserve(server, organization, 30).status_code == 402
    assert commit(server, organization, "r", credits(organization, "30")).status_code == 200
    assert left(server, organization) == 20
    assert asked(server, organization, "grants/extra/void", {}).status_code == 200
    assert left(server, organization) == 0


def test_many_at_once_are_granted_exactly_what_there_is(server: Server) -> None:
    """Reservations, commits, enforced events and others that nobody asked about, all at once."""
    organization = somebody(server)
    granted: list[Decimal] = []
    lock = threading.Lock()

    def client(number: int) -> None:
        headers = {"authorization": f"Bearer {ADMIN_KEY}"}
        with httpx.Client(base_url=server.http.base_url, timeout=60, trust_env=False, headers=headers) as http:
            for turn in range(6):
                name = f"c{number}-{turn}"
                body = {"meter": "credits", "amount": 2, "id": name}
                made = http.post(f"/v1/organizations/{organization}/reservations", json=body)
                assert made.status_code in (201, 402), made.text
                if made.status_code == 201 and turn % 3 == 0:
                    deleted = http.delete(f"/v1/organizations/{organization}/reservations/{name}")
                    assert deleted.status_code == 204, deleted.text
                elif made.status_code == 201:
                    amount = "2" if turn % 2 else "1.5"
                    path = f"/v1/organizations/{organization}/reservations/{name}/commit"
                    used = http.post(path, json={"event": credits(organization, amount)})
                    assert used.status_code == 200, used.text
                    with lock:
                        granted.append(Decimal(amount))
                enforced = http.post("/v1/events?namespace=shop&enforce=true", json=[credits(organization, "0.5")])
                if enforced.json()["ingested"]:
                    with lock:
                        granted.append(Decimal("0.5"))

    with ThreadPoolExecutor(64) as pool:
        [*pool.map(client, range(64))]
    used = Decimal(server.usage(organization)["meters"]["credits"]["used"])
    assert used == sum(granted)
    assert used <= 100
    rest = 100 - used
    assert left(server, organization) == rest  # nothing leaked
    while rest >= Decimal("0.5"):
        assert server.admin("POST", "/v1/events?namespace=shop&enforce=true", [credits(organization, "0.5")]).json()[
            "ingested"
        ]
        rest -= Decimal("0.5")
    assert Decimal(server.usage(organization)["meters"]["credits"]["used"]) == 100 - rest


def test_events_that_nobody_asked_about_count_as_used(server: Server) -> None:
    """They come into the same commits as what is decided."""
    organization = somebody(server)
    server.subscribe(
        organization, {"plan": None, "anchor": "2026-01-01", "interval": None, "limits": {"credits": 100_000}}
    )

    def client(number: int) -> None:
        for turn in range(12):
            if number % 2:
                server.send("shop", [credits(organization, "1")])
            else:
                made = reserve(server, organization, 2, id=f"m{number}-{turn}")
                assert made.status_code == 201, made.text
                assert commit(server, organization, f"m{number}-{turn}", credits(organization, "2")).status_code == 200
            left(server, organization)

    with ThreadPoolExecutor(16) as pool:
        [*pool.map(client, range(16))]
    used = Decimal(server.usage(organization)["meters"]["credits"]["used"])
    assert used == 8 * 12 * 3
    assert left(server, organization) == 100_000 - used


def test_reservations_outlive_a_crash(tmp_path: Path, catalog: Path) -> None:
    arguments = ("--catalog", str(catalog))
    with serve(tmp_path / "data", arguments=arguments) as server:
        organization = somebody(server)
        server.send("shop", [credits(organization, "10")])
        for number in range(3):
            assert reserve(server, organization, 20, id=f"r-{number}").status_code == 201
        assert commit(server, organization, "r-0", credits(organization, "5")).status_code == 200
        asked(server, organization, "reservations/r-1", None, "DELETE")
        server.kill()
    with serve(tmp_path / "data", arguments=arguments) as server:
        assert left(server, organization) == 65
        assert [each["id"] for each in asked(server, organization, "reservations", None, "GET").json()] == ["r-2"]
        assert commit(server, organization, "r-0", credits(organization, "5")).status_code == 409
        assert commit(server, organization, "r-2", credits(organization, "20")).status_code == 200
        assert left(server, organization) == 65

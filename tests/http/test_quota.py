"""`GET /v1/organizations/{id}/quota/{meter}`: whether so much more fits, and who is told what when it does not."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from support.server import Server, event

AT = "2026-03-14T10:00:00Z"


@pytest.fixture(scope="module")
def unsiloed(server: Server) -> str:
    subscription = {"plan": None, "anchor": "2026-03-10", "interval": "P30D", "limits": {"credits": 10}}
    organization = server.organization("unsiloed", subscription)
    server.send("unsiloed", [event("credit.used", organization, {"amount": "7.5"}, at=AT)])
    return organization


def ask(server: Server, organization: str, meter: str = "credits", **query: Any) -> httpx.Response:
    return server.admin("GET", f"/v1/organizations/{organization}/quota/{meter}", params=query)


@pytest.mark.parametrize(("amount", "fits"), [("2.5", True), ("2.5000000000000000000000000001", False), ("0", True)])
def test_it_fits_up_to_the_very_limit(server: Server, unsiloed: str, amount: str, fits: bool) -> None:
    answer = ask(server, unsiloed, amount=amount)
    assert answer.status_code == (200 if fits else 402)
    if fits:
        assert answer.json() == {
            "meter": "credits",
            "amount": float(amount),
            "used": 7.5,
            "limit": 10,
            "remaining": 2.5,
            "resets_at": "2026-04-09T00:00:00Z",
        }


def test_one_more_is_what_is_asked_for_when_nothing_is_said(server: Server, unsiloed: str) -> None:
    assert ask(server, unsiloed).json()["amount"] == 1


def test_unsiloeds_clients_are_told_in_their_own_words(server: Server) -> None:
    subscription = {"plan": None, "anchor": "2026-03-10", "interval": "P30D", "limits": {"credits": 100}}
    organization = server.organization("unsiloed", subscription)
    server.send("unsiloed", [event("credit.used", organization, {"amount": 100}, at=AT)])
    refused = ask(server, organization)
    assert (refused.status_code, refused.headers["content-type"]) == (402, "application/json")
    assert refused.text == (
        '{"detail":{"message":"Insufficient quota","status":"QUOTA_EXCEEDED",'
        '"quota_data":{"current":100,"limit":100,"remaining":0}}}'
    )


def test_others_are_told_in_a_problem(server: Server) -> None:
    organization = server.organization("autoposting", {"plan": None, "anchor": "2026-03-10", "interval": "P1M"})
    refused = ask(server, organization)
    assert (refused.status_code, refused.json()["code"]) == (402, "quota_exceeded")
    assert refused.json()["detail"] == "1 more of credits does not fit: 0 of 0 is used"


def test_what_nothing_limits_always_fits(server: Server) -> None:
    organization = server.organization("aitronos", {"plan": "Business", "anchor": "2026-03-10", "interval": "P1M"})
    answer = ask(server, organization, "neurons", amount="9" * 38)
    assert (answer.status_code, answer.json()["limit"], answer.json()["remaining"]) == (200, None, None)


@pytest.mark.parametrize("amount", ["", "many", "-1", "1e99", "NaN", "1" * 50])
def test_an_amount_that_is_none_is_a_400(server: Server, unsiloed: str, amount: str) -> None:
    answer = ask(server, unsiloed, amount=amount)
    assert answer.status_code == 400
    assert "amount" in answer.json()["detail"]


def test_unknown_meters_and_organizations_are_a_404(server: Server, unsiloed: str) -> None:
    assert ask(server, unsiloed, "mentions").status_code == 404
    assert ask(server, "nobody").status_code == 404


def test_a_key_asks_for_its_own_organization_only(server: Server, unsiloed: str) -> None:
    path = f"/v1/organizations/{unsiloed}/quota/credits"
    keys = {
        "own": server.key(unsiloed),
        "another's": server.key(server.organization("unsiloed")),
        "writes only": server.key(unsiloed, scopes=["events:write"]),
    }
    statuses = {
        name: server.http.get(path, headers={"authorization": f"Bearer {key}"}).status_code
        for name, key in keys.items()
    }
    assert statuses == {"own": 200, "another's": 403, "writes only": 403}
    assert server.http.get(path).status_code == 401

"""Organizations, subscriptions, keys and the one-call usage summary."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from support.server import Server, event, serve

START = {"anchor": "2026-03-01", "interval": "P1M"}


def test_an_organization_is_added_once_and_read_back(server: Server) -> None:
    body = {"id": "once", "name": "Once", "namespace": "octolens", "created_at": "2026-01-01T01:00:00+01:00"}
    made = server.admin("POST", "/v1/organizations", body)
    assert (made.status_code, made.json()["created_at"]) == (201, "2026-01-01T00:00:00Z")
    again = server.admin("POST", "/v1/organizations", body)
    assert again.status_code == 409
    assert again.json() == {
        "type": "about:blank",
        "title": "Conflict",
        "status": 409,
        "code": "already_exists",
        "detail": again.json()["detail"],
        "request_id": again.headers["x-request-id"],
    }
    assert server.admin("GET", "/v1/organizations/once").json() == made.json()
    assert made.json() in server.admin("GET", "/v1/organizations").json()


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"id": ""}, 400, "organization id"),
        ({"id": "a/b"}, 400, "organization id"),
        ({"id": "x" * 200}, 400, "organization id"),
        ({"name": ""}, 400, "name"),
        ({"name": "a\0b"}, 400, "name"),
        ({"name": "x" * 201}, 400, "name"),
        ({"namespace": "nowhere"}, 404, "nowhere"),
        ({"created_at": "yesterday"}, 400, "yesterday"),
        ({"nmae": "typo"}, 400, "nmae"),
        ({"name": 5}, 400, "name"),
    ],
)
def test_says_what_is_wrong_with_an_organization(server: Server, change: dict, status: int, words: str) -> None:
    answer = server.admin("POST", "/v1/organizations", {"id": "new", "name": "N", "namespace": "onepin", **change})
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]


def test_a_deleted_organization_is_gone(server: Server) -> None:
    org = server.organization("unsiloed")
    key = server.key(org)
    assert server.admin("DELETE", f"/v1/organizations/{org}").status_code == 204
    for method, path in (("GET", ""), ("GET", "/usage"), ("DELETE", ""), ("GET", "/keys")):
        assert server.admin(method, f"/v1/organizations/{org}{path}").status_code == 404
    answer = server.http.get("/api/v1/org/get_usage", headers={"api-key": key})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Organization not found"})


def test_without_a_subscription_every_limit_is_zero_and_nothing_resets(server: Server) -> None:
    org = server.organization("unsiloed")
    server.send("unsiloed", [event("credit.used", org, {"amount": 3}, at="2020-01-01T00:00:00Z")])
    meter = server.usage(org)["meters"]["credits"]
    assert (meter["used"], meter["limit"], meter["remaining"], meter["overage"]) == (3, 0, 0, 3)
    assert (meter["percent"], meter["resets_at"], meter["period"]) == (None, None, {"start": None, "end": None})


def test_the_same_top_up_in_a_later_period_is_another_purchase(tmp_path: Path) -> None:
    body = {"plan": None, **START, "limits": {"credits": 500}, "addons": {"credits": {"one_time": 1000}}}

    def limit(server: Server) -> int:
        return int(server.usage("acme")["meters"]["credits"]["limit"])

    with serve(tmp_path / "data", now="2026-03-10T00:00:00Z") as server:
        server.organization("autoposting", body, id="acme")
        server.subscribe("acme", body)  # a repeated request grants nothing twice
        assert limit(server) == 1500
        assert server.stop() == 0
    with serve(tmp_path / "data", now="2026-04-10T00:00:00Z") as server:
        assert limit(server) == 500
        read = server.admin("GET", "/v1/organizations/acme/subscription").json()
        assert read["addons"]["credits"]["granted_at"] == "2026-03-10T00:00:00Z"
        server.subscribe("acme", {**read, "plan": "Starter"})  # what was read and is put back grants nothing
        assert limit(server) == 500
        for _ in range(2):
            server.subscribe("acme", body)
            assert limit(server) == 1500
        other = {**body, "addons": {"credits": {"one_time": 7, "granted_at": "2026-04-01T00:00:00Z"}}}
        server.subscribe("acme", other)
        assert limit(server) == 507
        for grant in ({"one_time": 7, "granted_at": "soon"}, {"recurring": 7, "granted_at": "2026-04-01T00:00:00Z"}):
            refused = server.admin("PUT", "/v1/organizations/acme/subscription", {**body, "addons": {"credits": grant}})
            assert (refused.status_code, "addons.credits.granted_at" in refused.json()["detail"]) == (400, True)


def test_limits_are_plan_then_override_then_addons(server: Server) -> None:
    org = server.organization("octolens", {**START, "plan": "Pro_v3"})
    plan_limit = server.usage(org)["meters"]["mentions"]["limit"]
    assert plan_limit > 0
    addons = {"mentions": {"one_time": "5", "recurring": "0.5"}}
    server.subscribe(org, {**START, "plan": "Pro_v3", "addons": addons})
    assert server.usage(org)["meters"]["mentions"]["limit"] == plan_limit + Decimal("5.5")
    server.subscribe(org, {**START, "plan": "Pro_v3", "addons": addons, "limits": {"mentions": 7}})
    assert server.usage(org)["meters"]["mentions"]["limit"] == Decimal("12.5")
    server.subscribe(org, {**START, "plan": None, "addons": addons})
    assert server.usage(org)["meters"]["mentions"]["limit"] == Decimal("5.5")
    assert server.usage(org)["meters"]["keywords"]["limit"] == 0


def test_usage_is_exact_to_38_digits(server: Server) -> None:
    org = server.organization("unsiloed", {**START, "plan": None, "limits": {"credits": "9" * 38}})
    amounts = ["12345678901234567890.123456789", "0.1", "0.2", "9" * 37]
    server.send("unsiloed", [event("credit.used", org, {"amount": amount}) for amount in amounts])
    meter = server.usage(org)["meters"]["credits"]
    assert meter["used"] == Decimal("10000000000000000012345678901234567889.423456789")
    assert meter["limit"] == Decimal("9" * 38)
    assert meter["remaining"] == Decimal("89999999999999999987654321098765432109.576543211")


def test_an_event_at_the_end_of_a_period_belongs_to_the_next(server: Server) -> None:
    org = server.organization("unsiloed", {**START, "plan": None, "limits": {"credits": 10}})
    moments = {
        "2026-02-28T23:59:59.999999Z": 1,
        "2026-03-01T00:00:00Z": 10,
        "2026-03-31T23:59:59.9999999Z": 100,
        "2026-04-01T00:00:00Z": 1000,
    }
    server.send("unsiloed", [event("credit.used", org, {"amount": n}, at=at) for at, n in moments.items()])
    meter = server.usage(org)["meters"]["credits"]
    assert (meter["used"], meter["percent"]) == (110, 1100)
    assert meter["period"] == {"start": "2026-03-01T00:00:00Z", "end": "2026-04-01T00:00:00Z"}
    assert meter["resets_at"] == "2026-04-01T00:00:00Z"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"plan": "Gold"}, "Gold"),
        ({"interval": "monthly"}, "monthly"),
        ({"anchor": "2026-02-30"}, "2026-02-30"),
        ({"anchor": "2026-02-01T10:00:00"}, "zone"),
        ({"limits": {"unicorns": 1}}, "unicorns"),
        ({"limits": {"credits": -1}}, "limits.credits"),
        ({"limits": {"credits": "9" * 39}}, "38 digits"),
        ({"addons": {"credits": {"once": 1}}}, "once"),
        ({"flex": {"enabled": True, "budget_cents": -1}}, "budget_cents"),
    ],
)
def test_says_what_is_wrong_with_a_subscription(server: Server, change: dict, words: str) -> None:
    org = server.organization("unsiloed")
    path = f"/v1/organizations/{org}/subscription"
    answer = server.admin("PUT", path, {**START, "plan": None, **change})
    assert answer.status_code == 400, answer.text
    assert words in answer.json()["detail"]
    assert server.admin("GET", path).json() is None


def test_a_key_is_shown_once_expires_and_is_revoked(server: Server) -> None:
    org = server.organization("unsiloed")
    made = server.admin("POST", f"/v1/organizations/{org}/keys").json()
    assert made["key"].startswith(made["prefix"])
    listed = server.admin("GET", f"/v1/organizations/{org}/keys").json()
    assert made["key"] not in str(listed)
    read = {"headers": {"api-key": made["key"]}}
    assert server.http.get("/org/get_usage", **read).status_code == 200
    path = f"/v1/organizations/{org}/keys/{made['id']}"
    other = server.organization("unsiloed")
    assert server.admin("DELETE", path.replace(org, other)).status_code == 404
    assert server.admin("DELETE", path).status_code == 204
    assert server.http.get("/org/get_usage", **read).status_code == 401
    expired = server.expired_key(org)["key"]
    assert server.http.get("/org/get_usage", headers={"api-key": expired}).status_code == 401
    assert server.admin("POST", f"/v1/organizations/{org}/keys", {"scopes": ["root"]}).status_code == 400


@pytest.mark.parametrize("expires_at", ["2026-03-15T12:00:00Z", "2026-03-15T13:00:00+02:00", "2001-01-01T00:00:00Z"])
def test_an_expiry_that_has_passed_makes_no_key(server: Server, expires_at: str) -> None:
    org = server.organization("unsiloed")
    answer = server.admin("POST", f"/v1/organizations/{org}/keys", {"expires_at": expires_at})
    assert answer.status_code == 400
    assert "is not after now, 2026-03-15T12:00:00Z" in answer.json()["detail"]
    assert server.admin("GET", f"/v1/organizations/{org}/keys").json() == []
    later = server.admin("POST", f"/v1/organizations/{org}/keys", {"expires_at": "2026-03-15T12:00:01Z"})
    assert later.status_code == 201


def test_an_organization_reads_its_own_usage_and_no_other(server: Server) -> None:
    org, other = server.organization("octolens"), server.organization("octolens")
    headers = {"authorization": f"Bearer {server.key(org)}"}
    assert server.http.get(f"/v1/organizations/{org}/usage", headers=headers).status_code == 200
    foreign = server.http.get(f"/v1/organizations/{other}/usage", headers=headers)
    absent = server.http.get("/v1/organizations/never-was/usage", headers=headers)
    assert foreign.status_code == absent.status_code == 403
    assert foreign.json()["detail"] == absent.json()["detail"]
    assert server.http.get("/v1/organizations", headers=headers).status_code == 403


def test_every_admin_path_wants_the_admin_key(server: Server) -> None:
    document = server.http.get("/openapi.json").json()
    checked = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if operation.get("security") == [] or path in ("/healthz", "/readyz", "/metrics"):
                continue
            body = {} if method in ("put", "post") else None
            answer = server.http.request(method, path.replace("{", "").replace("}", ""), json=body)
            assert answer.status_code == 401, (method, path)
            checked += 1
    assert checked >= 12


def test_a_scope_that_includes_reading_reads(server: Server) -> None:
    org = server.organization("octolens")
    for scope, status in (("read", 200), ("write", 200), ("admin", 200), ("events:write", 403)):
        headers = {"authorization": f"Bearer {server.key(org, scopes=[scope])}"}
        for path in (f"/v1/organizations/{org}/usage", "/api/v2/org/usage"):
            assert server.http.get(path, headers=headers).status_code == status, (scope, path)

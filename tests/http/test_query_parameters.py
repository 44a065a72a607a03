"""Every endpoint of our own refuses the query parameters that it does not declare."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar
from litestar.routes import HTTPRoute

from meterhouse.contracts import installed
from meterhouse.http import app as application
from meterhouse.settings import Settings
from meterhouse.wiring import open_meterhouse
from support.asgi import client_of
from support.server import ADMIN_KEY, Server, event

ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


def native_routes(app: Litestar) -> set[tuple[str, str]]:
    """Method and path of every route that no contract owns and that is no page, its parameters filled in."""
    contracts = {path for contract in installed().values() for route in contract.routes for path in route.paths}
    return {
        (method, re.sub(r"\{[^}]*\}", "x", route.path_format))
        for route in app.routes
        if isinstance(route, HTTPRoute) and re.sub(r":[a-z]+\}", "}", route.path) not in contracts
        if any(handler.resolve_include_in_schema() for handler in route.route_handlers)
        for method in route.methods
        if method != "OPTIONS"
    }


def test_every_native_route_names_what_it_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[Litestar] = []

    class Kept(application._Litestar):
        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            built.append(self)

    monkeypatch.setattr(application, "_Litestar", Kept)
    with (
        open_meterhouse(Settings(data=tmp_path / "data", admin_key=ADMIN_KEY)) as meterhouse,
        client_of(meterhouse.app) as client,
    ):
        [app] = built
        routes = native_routes(app)
        assert len(routes) > 25
        for method, path in sorted(routes):
            answer = client.request(method, f"{path}?zzz=1", headers=ADMIN)
            assert answer.status_code == 400, (method, path, answer.text)
            assert "unknown query parameter 'zzz'" in answer.json()["detail"], (method, path)


@pytest.mark.parametrize(
    ("method", "path", "words"),
    [
        ("GET", "/v1/export?organisation=acme", "'organisation'; did you mean organization?"),
        ("GET", "/v1/export?namespace=onepin&organisation=acme", "did you mean organization?"),
        ("GET", "/v1/organizations/ORG/usage?as_off=2026-01-01T00:00:00Z", "'as_off'; did you mean as_of?"),
        ("POST", "/v1/events?namespace=unsiloed&enforc=true", "'enforc'"),
        ("GET", "/healthz?verbose", "this endpoint takes none"),
        ("GET", "/v1/export?organization=", "organization is empty"),
        ("GET", "/v1/export?organization", "organization is empty"),
        ("GET", "/v1/export?organization=a&organization=b", "must be given once, not 2 times"),
        ("GET", "/v1/export?%00=1", r"'\x00'"),
        ("GET", "/openapi.json?x=1", "'x'"),
        ("GET", "/docs/contracts/onepin?x=1", "'x'"),
    ],
)
def test_it_says_which_one_and_what_is_nearest(server: Server, method: str, path: str, words: str) -> None:
    org = server.organization("unsiloed")
    body: Any = [event("credit.used", org, {"amount": 1})] if method == "POST" else None
    answer = server.admin(method, path.replace("ORG", org), body)
    assert answer.status_code == 400, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert words in answer.json()["detail"]
    assert server.usage(org)["meters"]["credits"]["used"] == 0


@pytest.mark.parametrize(
    "asked",
    [
        "GET /v1/alert-rules",
        "PUT /v1/alert-rules/r",
        "GET /v1/alert-rules/r",
        "DELETE /v1/alert-rules/r",
        "GET /v1/alerts",
        "GET /v1/webhook-endpoints",
        "PUT /v1/webhook-endpoints/e",
        "GET /v1/webhook-endpoints/e",
        "DELETE /v1/webhook-endpoints/e",
        "POST /v1/webhook-endpoints/e/rotate",
        "POST /v1/webhook-endpoints/e/test",
        "GET /v1/deliveries?endpoint=e",
        "POST /v1/deliveries/1/send-again",
    ],
)
def test_rules_and_endpoints_are_found_by_their_namespace(server: Server, asked: str) -> None:
    method, path = asked.split()
    rule = {"meter": "credits", "basis": "used", "threshold": 1}
    bodies = {"PUT": rule if "rules" in path else {"url": "https://example.com"}, "POST": {}}
    absent = server.admin(method, path, bodies.get(method))
    assert (absent.status_code, "namespace" in absent.json()["detail"]) == (400, True), absent.text
    named = path + ("&" if "?" in path else "?") + "namespace=nowhere"
    unknown = server.admin(method, named, bodies.get(method))
    assert (unknown.status_code, "unknown namespace 'nowhere'" in unknown.json()["detail"]) == (404, True), unknown.text


def test_deliveries_are_listed_of_one_endpoint(server: Server) -> None:
    absent = server.admin("GET", "/v1/deliveries?namespace=unsiloed")
    assert (absent.status_code, "endpoint" in absent.json()["detail"]) == (400, True), absent.text


def test_contracts_judge_their_query_themselves(server: Server) -> None:
    key = server.key(server.organization("octolens"))
    answer = server.http.get("/api/v2/org/usage?zzz=1", headers={"authorization": f"Bearer {key}"})
    assert answer.status_code == 200

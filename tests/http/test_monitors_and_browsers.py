"""Monitors ask with HEAD, and pages in a browser across origins."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from support.server import Server, event, serve

ORIGIN = "https://app.example.com"
CORS = "access-control-allow-origin"


def test_head_wherever_there_is_get(server: Server) -> None:
    org = server.organization("unsiloed")
    server.send("unsiloed", [event("credit.used", org, {"amount": 1})])
    paths = [path for path, item in server.http.get("/openapi.json").json()["paths"].items() if "get" in item]
    assert len(paths) > 12
    for template in (*paths, "/", "/docs", "/openapi.json", "/docs/contracts/onepin", "/nowhere"):
        path = re.sub(r"\{[^}]*\}", org, template)
        got = server.admin("GET", path)
        asked = server.admin("HEAD", path)
        assert (asked.status_code, asked.content) == (got.status_code, b""), path
        assert asked.headers["content-type"] == got.headers["content-type"], path


def test_head_of_a_path_that_takes_no_get(server: Server) -> None:
    assert server.admin("HEAD", "/v1/corrections").status_code == 405


def test_head_of_what_is_streamed_makes_none_of_it(server: Server) -> None:
    for path in ("/v1/backup", "/v1/export"):
        asked = server.admin("HEAD", path)
        assert (asked.status_code, asked.content) == (200, b"")
    assert server.http.get("/healthz").status_code == 200


def test_a_page_may_call_our_own_api_with_a_key(server: Server) -> None:
    org = server.organization("unsiloed")
    path = f"/v1/organizations/{org}/usage"
    asks = {"origin": ORIGIN, "access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    preflight = server.http.options(path, headers=asks)
    assert (preflight.status_code, preflight.headers[CORS]) == (204, "*")
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert server.admin("GET", path, headers={"origin": ORIGIN}).headers[CORS] == "*"
    assert CORS not in server.admin("GET", path).headers
    small = [event("credit.used", org, {"amount": 1})]
    sent = server.admin("POST", "/v1/events?namespace=unsiloed", small, headers={"origin": ORIGIN})
    assert (sent.status_code, sent.headers[CORS]) == (200, "*")


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/api/v2/org/usage", "/v1/analytics/usage/summary/acme"])
def test_what_needs_no_key_or_belongs_to_a_contract_is_not_for_pages(server: Server, path: str) -> None:
    assert CORS not in server.http.get(path, headers={"origin": ORIGIN}).headers


def test_only_the_origins_that_are_named(tmp_path: Path) -> None:
    named = {"METERHOUSE_CORS_ORIGINS": f"https://other.example, {ORIGIN}"}
    with serve(tmp_path / "data", environment=named) as server:
        allowed = server.admin("GET", "/v1/organizations", headers={"origin": ORIGIN})
        stranger = server.admin("GET", "/v1/organizations", headers={"origin": "https://evil.example"})
    assert (allowed.headers[CORS], allowed.headers["vary"]) == (ORIGIN, "origin")
    assert CORS not in stranger.headers


def test_no_answer_is_stored_or_guessed_at(server: Server) -> None:
    key = server.key(server.organization("octolens"))
    for path in ("/healthz", "/nowhere", "/docs", "/v1/organizations", *["/api/v2/org/usage"] * 2):
        answer = server.http.get(path, headers={"authorization": f"Bearer {key}"})
        assert answer.headers.get_list("x-content-type-options") == ["nosniff"], path
        assert answer.headers.get_list("cache-control") == ["no-store"], path

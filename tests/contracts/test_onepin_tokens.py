"""OnePin's other credential: a session token of the kind that Clerk signs, on a real server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from support.server import Server, event, serve

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
ISSUER = "https://clerk.example"
SIGNER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


@pytest.fixture(scope="module")
def onepin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("tokens")
    key_set = folder / "jwks.json"
    public = {**json.loads(RSAAlgorithm.to_jwk(SIGNER.public_key())), "kid": "k1", "use": "sig", "alg": "RS256"}
    key_set.write_text(json.dumps({"keys": [public]}))
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:  # for this server only
            patch.setenv("METERHOUSE_ONEPIN_JWKS", str(key_set))
            patch.setenv("METERHOUSE_ONEPIN_ISSUER", ISSUER)
            patch.setenv("METERHOUSE_ONEPIN_AUDIENCE", "usage")
            server = stack.enter_context(serve(folder / "data", now=NOW))
        server.organization("onepin", {"plan": "Studio", "anchor": "2026-03-01", "interval": "P1M"}, id="ws-a")
        server.organization("onepin", id="ws-b")
        server.organization("octolens", id="not-a-workspace")
        for user, credits in (("user_ada", 3), ("user_grace", 4)):
            data = {"run_id": "r", "user_id": user, "characters": 10, "credits": credits}
            server.send("onepin", [event("line.generated", "ws-a", data, at="2026-03-15T11:00:00Z")])
        yield server


def token(**claims: Any) -> str:
    moment = int(NOW.timestamp())
    usual = {"sub": "user_ada", "iss": ISSUER, "aud": "usage", "iat": moment, "exp": moment + 60, "org_id": "ws-a"}
    told = {name: value for name, value in (usual | claims).items() if value is not None}
    return jwt.encode(told, SIGNER, algorithm="RS256", headers={"kid": "k1"})


def ask(server: Server, path: str, secret: str, **headers: str) -> httpx.Response:
    return server.http.get(path, headers={"authorization": f"Bearer {secret}", **headers})


def summary(server: Server, secret: str, **headers: str) -> httpx.Response:
    return ask(server, "/api/v1/usage/summary", secret, **headers)


@pytest.mark.parametrize("workspace", [{"org_id": "ws-a"}, {"org_id": None, "o": {"id": "ws-a", "rol": "admin"}}])
def test_user_and_workspace_come_from_the_claims(onepin: Server, workspace: dict[str, Any]) -> None:
    data = summary(onepin, token(**workspace)).json()["data"]
    assert (data["credits"]["used"], data["credits"]["quota"], data["lines"]["total"]) == (3, 500_000, 2)
    data = summary(onepin, token(sub="user_grace", **workspace)).json()["data"]
    assert data["credits"]["used"] == 4
    assert ask(onepin, "/api/v1/auth/whoami", token(**workspace)).json()["data"] == {
        "auth_kind": "clerk",
        "user_id": "user_ada",
        "workspace_id": "ws-a",
        "api_key_id": None,
        "scopes": ["workspace:read"],
    }


def test_a_key_still_works_beside_tokens(onepin: Server) -> None:
    key = onepin.key("ws-a", user_id="user_ada")
    assert ask(onepin, "/api/v1/auth/whoami", key).json()["data"]["auth_kind"] == "api_key"


@pytest.mark.parametrize(
    "claims",
    [
        {"iss": "https://evil.example"},
        {"aud": "another"},
        {"aud": None},
        {"exp": int(NOW.timestamp()) - 60},
        {"exp": None},
        {"nbf": int(NOW.timestamp()) + 60},
        {"sub": None},
        {"sub": ""},
    ],
)
def test_a_token_that_is_not_good_is_a_401(onepin: Server, claims: dict[str, Any]) -> None:
    refused = summary(onepin, token(**claims))
    assert (refused.status_code, refused.json()["error"]["message"]) == (401, "Invalid credentials")


def test_a_workspace_is_the_tokens_own_or_none(onepin: Server) -> None:
    assert summary(onepin, token(), **{"x-workspace-id": "ws-a"}).status_code == 200
    assert summary(onepin, token(), **{"x-workspace-id": "ws-b"}).status_code == 403
    for claims in ({"org_id": None}, {"org_id": 7}, {"org_id": None, "o": "ws-a"}):
        assert summary(onepin, token(**claims)).status_code == 403
    unknown = [
        summary(onepin, token(org_id=name)) for name in ("ws-none", "not-a-workspace", "ws\0a", "x" * 500, "\ud800")
    ]
    assert {(answer.status_code, answer.json()["error"]["message"]) for answer in unknown} == {
        (404, "Workspace not found")
    }


def test_a_scope_claim_is_all_that_the_token_may(onepin: Server) -> None:
    assert summary(onepin, token(scope="voices:read workspace:read")).status_code == 200
    for scope in ("voices:read", "", 7):
        assert summary(onepin, token(scope=scope)).status_code == 403
    assert ask(onepin, "/api/v1/auth/whoami", token(scope="b a")).json()["data"]["scopes"] == ["a", "b"]


def test_a_token_does_not_write_events_nor_read_elsewhere(onepin: Server) -> None:
    header = {"authorization": f"Bearer {token(scope='events:write usage:read workspace:read')}"}
    assert onepin.http.post("/v1/events", json=[], headers=header).status_code == 401
    assert onepin.http.get("/v1/organizations/ws-a/usage", headers=header).status_code == 401
    assert onepin.http.get("/api/v2/org/usage", headers=header).status_code == 401


def test_a_server_that_was_told_no_key_set_takes_no_token(server: Server) -> None:
    assert summary(server, token()).status_code == 401


def test_without_keys_to_verify_with_it_is_a_500_that_says_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("METERHOUSE_ONEPIN_JWKS", str(tmp_path / "missing.json"))
    with serve(tmp_path / "data", now=NOW) as server:
        server.organization("onepin", id="ws-a")
        failed = summary(server, token())
        assert (failed.status_code, failed.json()["error"]["code"]) == (500, "INTERNAL_ERROR")
        assert "missing" not in failed.text
        assert summary(server, server.key("ws-a")).status_code == 200

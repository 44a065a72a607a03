"""Paths beside those of contracts are refused in the words of the contract that they are nearest to."""

from __future__ import annotations

import socket
from contextlib import closing
from http.client import HTTPResponse

import msgspec
import pytest

from meterhouse.contracts import installed
from support.server import Server

CONTRACTS = installed()
ENDPOINTS = [(name, path) for name, contract in CONTRACTS.items() for route in contract.routes for path in route.paths]
NOT_FOUND = {
    "aitronos": {"success": False},
    "autoposting": {"success": False, "error": "not_found", "message": "Not found."},
    "octolens": {"error": {"code": "NOT_FOUND", "message": "Not found", "status": 404}},
    "onepin": {},
    "unsiloed": {"detail": "Not Found"},
}


def get(server: Server, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    """Status and body of a path that is sent as it is, byte by byte."""
    lines = [f"GET {path} HTTP/1.1", "Host: x", "Connection: close", *(f"{name}: {headers[name]}" for name in headers)]
    with closing(socket.create_connection(("127.0.0.1", server.port), 30)) as connection:
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        response = HTTPResponse(connection)
        response.begin()
        return response.status, response.read()


@pytest.mark.parametrize(("name", "path"), ENDPOINTS)
def test_a_path_near_a_contracts_own_is_not_found_in_its_words(server: Server, name: str, path: str) -> None:
    contract = CONTRACTS[name]
    org = server.organization(name)
    key = server.key(org, user_id="ada")
    [scheme, *_] = contract.security.values()
    headers = {scheme["name"]: key} if scheme["type"] == "apiKey" else {"Authorization": f"Bearer {key}"}
    own = path.format(org_id=org)
    for _ in range(2):  # so that the answer is kept, and could be given again
        assert get(server, own, headers)[0] == 200
    head, _, tail = own.rpartition("/")
    near = [
        own + "/",
        own + "//",
        own + "/x",
        own + "%2f",
        own + "%2Fx",
        "/" + own,
        f"{head}//{tail}",
        f"{head}%2f{tail}",
    ]
    for asked in near:
        status, content = get(server, asked, headers)
        body = msgspec.json.decode(content)
        assert status == 404, asked
        assert body.keys() >= NOT_FOUND[name].keys(), (asked, body)
        assert {field: body[field] for field in NOT_FOUND[name]} == NOT_FOUND[name], (asked, body)
        if name in ("aitronos", "onepin"):
            assert body["error"]["code"] == "NOT_FOUND", (asked, body)


def test_the_path_without_its_organization(server: Server) -> None:
    for path in ("/v1/analytics/usage/summary", "/v1/analytics/usage/summary/"):
        answer = server.http.get(path)
        assert (answer.status_code, answer.json()["error"]["code"]) == (404, "NOT_FOUND")


def test_paths_that_are_near_no_contract_are_problems(server: Server) -> None:
    for path in ("/usage", "/v1/analytics", "/api/v2", "/usage/summaries", "/v1/organizations/a/b/c"):
        answer = server.http.get(path)
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json"), path

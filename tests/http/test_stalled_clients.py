"""Clients that stop in the middle of a request, or never read their answer, hold up nobody else."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from support.server import ADMIN_KEY, Server, event, serve

STALLED = 40
HEAD = (
    "POST /v1/events?namespace=unsiloed HTTP/1.1\r\nHost: localhost\r\n"
    f"Authorization: Bearer {ADMIN_KEY}\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n"
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("stalled") / "data") as server:
        yield server


@pytest.mark.parametrize("sent", [HEAD[:30], HEAD, HEAD + '[{"specversion":'], ids=["head", "no body", "half a body"])
def test_a_request_that_is_never_finished(server: Server, sent: str) -> None:
    organization = server.organization("unsiloed")
    with ExitStack() as open_sockets:
        for _ in range(STALLED):
            client = open_sockets.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            client.sendall(sent.encode())
        assert server.send("unsiloed", [event("credit.used", organization, {"amount": 2})])["ingested"] == 1
        assert server.usage(organization)["meters"]["credits"]["used"] == 2
    assert server.http.get("/readyz").status_code == 200


def test_answers_that_nobody_reads(server: Server) -> None:
    organization = server.organization("unsiloed")
    asking = f"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {ADMIN_KEY}\r\n\r\n".encode()
    with ExitStack() as open_sockets:
        for _ in range(STALLED):
            client = open_sockets.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.sendall(asking * 5)
        assert server.send("unsiloed", [event("credit.used", organization, {"amount": 2})])["ingested"] == 1
        assert server.usage(organization)["meters"]["credits"]["used"] == 2

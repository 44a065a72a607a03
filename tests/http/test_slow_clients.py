"""Connections that are never finished are closed, and hold up nobody meanwhile.

SLOW_CLIENTS=2000 opens as many unfinished headers and bodies each, and prints the figures with `pytest -s`.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from support.server import ADMIN_KEY, Server, event, serve

CLIENTS = int(os.environ.get("SLOW_CLIENTS", "300"))
SILENT = 200
"""More than a server held when its connections were as many as its backlog."""
ASKED = int(os.environ.get("SLOW_CLIENTS_ASKED", "200"))
SETTLED_S = 1.5
"""After which opening them all is over."""
HELD_UP_S = 3
"""Slower than any machine answers, and sooner than a slow client is given up."""
HEAD = f"POST /v1/events?namespace=unsiloed HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {ADMIN_KEY}\r\n"
UNFINISHED = {
    "silent": b"",
    "half a header": b"GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ",
    "idle after an answer": b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n",
    "half a body": f"{HEAD}Content-Length: 9000\r\n\r\n[".encode(),
    "no body": f"{HEAD}Content-Length: 9000\r\n\r\n".encode(),
    "a large body": f"{HEAD}Content-Length: 900000\r\n\r\n[".encode(),
    "a part of a chunked body": f"{HEAD}Transfer-Encoding: chunked\r\n\r\n1\r\n[\r\n".encode(),
    "a correction": HEAD.replace("events", "corrections").encode() + b"Content-Length: 900\r\n\r\n{",
    "a body without a key": b"POST /v1/events?namespace=unsiloed HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n[",
}


@pytest.fixture(scope="module")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    patience = {"METERHOUSE_IDLE_TIMEOUT_SECONDS": "2", "METERHOUSE_BODY_TIMEOUT_SECONDS": "2"}
    with serve(tmp_path_factory.mktemp("impatient") / "data", environment=patience) as server:
        yield server


def answer_to(server: Server, kind: str, dripping: bool) -> bytes:
    """What comes before the server closes the connection; `dripping` sends a byte now and then."""
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=0.5)) as connection:
        connection.sendall(UNFINISHED[kind])
        began, answer = time.monotonic(), b""
        while time.monotonic() - began < 20:
            try:
                received = connection.recv(65536)
                if not received:
                    return answer
                answer += received
            except TimeoutError:
                if dripping:
                    connection.sendall(b"1\r\n \r\n" if "chunked" in kind else b" ")
            except ConnectionError:
                return answer
    raise AssertionError(f"{kind} is still open")


def test_what_is_never_finished_is_closed(impatient: Server) -> None:
    cases = [(kind, dripping) for kind in UNFINISHED for dripping in (False, True)]
    with ThreadPoolExecutor(len(cases)) as threads:
        answers = dict(zip(cases, threads.map(lambda case: answer_to(impatient, *case), cases), strict=True))
    for (kind, dripping), answer in answers.items():
        if kind == "a body without a key":
            assert answer.startswith(b"HTTP/1.1 401 "), dripping
        elif "body" in kind or kind == "a correction":
            assert answer.startswith(b"HTTP/1.1 408 "), (kind, dripping)
            assert b"METERHOUSE_BODY_TIMEOUT_SECONDS" in answer


@pytest.mark.thorough
def test_a_body_that_keeps_coming_may_take_its_time(impatient: Server) -> None:
    org = impatient.organization("unsiloed")
    content = json.dumps([event("credit.used", org, {"amount": 1})]).encode() + b" " * 140_000
    with closing(socket.create_connection(("127.0.0.1", impatient.port), timeout=30)) as connection:
        connection.sendall(f"{HEAD}Content-Length: {len(content)}\r\nConnection: close\r\n\r\n".encode())
        for start in range(0, len(content), 20_000):
            connection.sendall(content[start : start + 20_000])
            time.sleep(0.6)
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert impatient.usage(org)["meters"]["credits"]["used"] == 1


@contextmanager
def slow_clients(server: Server, headers: int, bodies: int, silent: int) -> Iterator[None]:
    script = Path(__file__).with_name("slow_clients.py")
    command = [sys.executable, script, str(server.port), ADMIN_KEY, str(headers), str(bodies), str(silent)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            assert process.stdout.readline() == b"ready\n"
            time.sleep(SETTLED_S)
            yield
        finally:
            process.stdin.close()


def test_they_hold_up_nobody(tmp_path: Path) -> None:
    with serve(tmp_path / "data") as server:
        org = server.organization("unsiloed", {"plan": "Free", "anchor": "2026-01-01", "interval": "P30D"})
        headers = {"api-key": server.key(org)}
        asking: dict[str, Callable[[], int]] = {
            "health": lambda: server.http.get("/healthz").status_code,
            "usage": lambda: server.admin("GET", f"/v1/organizations/{org}/usage").status_code,
            "contract": lambda: server.http.get("/org/get_usage", headers=headers).status_code,
            "ingest": lambda: 200 if server.send("unsiloed", [event("credit.used", org, {"amount": 1})]) else 0,
        }
        undisturbed = {name: p99(ask) for name, ask in asking.items()}
        with slow_clients(server, CLIENTS, CLIENTS, SILENT):
            disturbed = {name: p99(ask) for name, ask in asking.items()}
        for name, before in undisturbed.items():
            now = disturbed[name]
            print(f"{name}: p99 {before * 1000:.1f} ms, then {now * 1000:.1f} ms: {now / before:.2f} times")
        assert all(now < HELD_UP_S for now in disturbed.values()), disturbed
        assert server.usage(org)["meters"]["credits"]["used"] == 2 * (ASKED + 20)


def p99(ask: Callable[[], int]) -> float:
    seconds = []
    for number in range(ASKED + 20):
        began = time.perf_counter()
        assert ask() == 200
        if number >= 20:
            seconds.append(time.perf_counter() - began)
    return sorted(seconds)[ASKED * 99 // 100 - 1]

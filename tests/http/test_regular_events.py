"""Regular requests are answered before any routing: with the same bytes as the route's, and accounted for the same."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from litestar import Litestar

from meterhouse.settings import Settings
from meterhouse.storage.clickhouse.journal.segment import Segment
from meterhouse.wiring import open_meterhouse

KEY = "test-admin-key-0123456789"
EVENT = {
    "specversion": "1.0",
    "id": "e-1",
    "source": "tests",
    "type": "credit.used",
    "subject": "acme",
    "time": "2026-03-01T00:00:00Z",
    "data": {"amount": 1},
}
Headers = list[tuple[bytes, bytes]]
AUTH = (b"authorization", f"Bearer {KEY}".encode())
JSON = (b"content-type", b"application/json")
ODD = (b"expect", b"")
"""Makes a request irregular, and nothing else."""


class Asked:
    """An application, and how many requests were routed."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.routed = 0

    def post(self, body: bytes, headers: Headers, query: bytes = b"namespace=unsiloed", pieces: int = 1) -> Any:
        """Status, headers but for the request's id, and body."""
        return asyncio.run(self._ask("POST /v1/events", query, headers, body, pieces))

    def counted(self) -> list[str]:
        """What the metrics say of requests and events, but for their duration."""
        _, _, text = asyncio.run(self._ask("GET /metrics", b"", [], b"", 1))
        kept = ("meterhouse_http_requests_total{", "meterhouse_events_total", "meterhouse_ingest_refused")
        return [line for line in text.decode().splitlines() if line.startswith(kept) and "/metrics" not in line]

    async def _ask(self, line: str, query: bytes, headers: Headers, body: bytes, pieces: int) -> Any:
        method, path = line.split()
        size = max(1, -(-len(body) // pieces))
        parts = [body[begin : begin + size] for begin in range(0, max(1, len(body)), size)]
        sent: list[Any] = []

        async def receive() -> Any:
            more = bool(parts)  # as Granian says it: an empty piece comes last
            return {"type": "http.request", "body": parts.pop(0) if more else b"", "more_body": more}

        async def send(message: Any) -> None:
            sent.append(message)

        scope = {"type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query}
        scope |= {"headers": headers, "http_version": "1.1", "scheme": "http", "root_path": "", "client": ("c", 1)}
        await self._app(scope | {"server": ("s", 80), "asgi": {"version": "3.0"}}, receive, send)
        start, *rest = sent
        told = sorted(pair for pair in start["headers"] if pair[0] != b"x-request-id")
        return start["status"], told, b"".join(message["body"] for message in rest)


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    with open_meterhouse(Settings(data=tmp_path / "data", admin_key=KEY)) as meterhouse:
        asked = Asked(meterhouse.app)
        route = Litestar.__call__

        async def counting(app: Litestar, scope: Any, receive: Any, send: Any) -> None:
            asked.routed += scope["method"] == "POST"
            await route(app, scope, receive, send)

        monkeypatch.setattr(Litestar, "__call__", counting)
        yield asked


def body_of(*events: Any) -> bytes:
    return json.dumps(list(events) if len(events) != 1 else events[0]).encode()


def sized(body: bytes, *headers: tuple[bytes, bytes]) -> Headers:
    return [*headers, (b"content-length", str(len(body)).encode())]


@pytest.mark.parametrize(
    "body",
    [
        body_of(EVENT),
        body_of(EVENT, {**EVENT, "data": {"amount": 2}}, {**EVENT, "id": 5}, {**EVENT, "id": "e-2"}),
        body_of([]),
    ],
)
def test_a_regular_request_gets_what_the_route_would_answer(asked: Asked, body: bytes) -> None:
    asked.post(body, sized(body, AUTH, JSON))  # so that the others find the same
    before = asked.counted()
    regular = asked.post(body, sized(body, AUTH, JSON))
    between = asked.counted()
    assert asked.routed == 0
    assert asked.post(body, sized(body, AUTH, JSON, ODD)) == regular
    assert asked.routed == 1
    assert regular[0] == 200
    assert _grown(before, between) == _grown(between, asked.counted())


def _grown(before: list[str], after: list[str]) -> dict[str, float]:
    values = [{line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines} for lines in (before, after)]
    return {name: value - values[0].get(name, 0) for name, value in values[1].items()}


SMALL = body_of({**EVENT, "id": "small"})


@pytest.mark.parametrize(
    ("body", "headers", "query", "status"),
    [
        (b"{", [AUTH, JSON], b"namespace=unsiloed", 400),
        (SMALL, [AUTH, JSON], b"namespace=nobody", 404),
        (SMALL, [AUTH, JSON], b"", 400),
        (SMALL, [AUTH, JSON], b"namespace=unsiloed&x=1", 400),
        (SMALL, [AUTH, JSON], b"namespace=%75nsiloed", 200),
        (SMALL, [(b"authorization", b"bearer  " + KEY.encode()), JSON], b"namespace=unsiloed", 200),
        (SMALL, [(b"authorization", b"Bearer wrong"), JSON], b"namespace=unsiloed", 401),
        (SMALL, [JSON], b"namespace=unsiloed", 401),
        (SMALL, [AUTH, (b"content-type", b"text/plain")], b"namespace=unsiloed", 415),
        (SMALL, [AUTH, JSON, (b"content-encoding", b"gzip")], b"namespace=unsiloed", 400),
        (SMALL, [AUTH, JSON, JSON], b"namespace=unsiloed", 200),
        (SMALL + b" " * 20_000, [AUTH, JSON], b"namespace=unsiloed", 200),
    ],
)
def test_whatever_is_otherwise_is_the_routes(
    asked: Asked, body: bytes, headers: Headers, query: bytes, status: int
) -> None:
    assert asked.post(body, sized(body, *headers), query)[0] == status
    assert asked.routed == 1


def test_a_body_may_come_in_pieces(asked: Asked) -> None:
    assert asked.post(SMALL, sized(SMALL, AUTH, JSON), pieces=3)[0] == 200
    assert asked.routed == 0
    status, _, told = asked.post(b"[[1, 2", sized(b"[[1, 2", AUTH, JSON), pieces=3)
    assert (status, json.loads(told)["detail"].partition(":")[0]) == (400, "the body is not JSON")
    assert asked.routed == 1


def test_a_body_of_another_length_is_the_routes(asked: Asked) -> None:
    asked.post(SMALL, [AUTH, JSON, (b"content-length", b"5")])
    asked.post(SMALL, [AUTH, JSON, (b"content-length", b"5000")])
    assert asked.routed == 2


def test_a_commit_that_fails_is_told_as_the_route_tells_it(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError("told to fail")

    with monkeypatch.context() as patched:
        patched.setattr(Segment, "append", fail)
        status, _, told = asked.post(SMALL, sized(SMALL, AUTH, JSON))
    assert (status, json.loads(told)["code"]) == (500, "internal_error")
    assert json.loads(asked.post(SMALL, sized(SMALL, AUTH, JSON))[2])["ingested"] == 1

"""The ASGI middleware counts requests by itself, in the frameworks that people have."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from litestar import Litestar, get
from litestar.params import FromPath
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.responses import JSONResponse, StreamingResponse
from starlette.routing import Route

from meterhouse_client import AsyncClient, BufferFull
from meterhouse_client.asgi import MeterhouseMiddleware
from support.recorded import Recorded
from support.server import ADMIN_KEY, Server, altered


def organization(scope: Any) -> str | None:
    name = dict(scope["headers"]).get(b"x-organization")
    return name.decode() if name else None


def ask(app: Any, path: str, *, of: str | None = "acme", content: bytes | None = None) -> httpx.Response:
    async def asked() -> httpx.Response:
        async with httpx.AsyncClient(
            transport=httpx.ASGITransport(app, raise_app_exceptions=False), base_url="http://app"
        ) as http:
            headers = {"x-organization": of} if of else {}
            return await http.request("POST" if content else "GET", path, headers=headers, content=content)

    return asyncio.run(asked())


def fast_app() -> Any:
    app = FastAPI()

    @app.get("/items/{number}")
    async def item(number: int) -> dict[str, int]:
        return {"number": number}

    @app.post("/items")
    async def add() -> str:
        return "added"

    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError

    return app


def star_app() -> Any:
    @get("/items/{number:int}")
    async def item(number: FromPath[int]) -> dict[str, int]:
        return {"number": number}

    return Litestar([item], openapi_config=None, logging_config=None)


def starlette_app() -> Any:
    async def item(request: Any) -> JSONResponse:
        return JSONResponse({"number": request.path_params["number"]})

    return Starlette(routes=[Route("/items/{number:int}", item)])


@pytest.mark.parametrize("make", [fast_app, star_app, starlette_app])
def test_each_request_is_an_event_of_its_organization(make: Any) -> None:
    meter = Recorded()
    app = MeterhouseMiddleware(make(), meter=meter, organization=organization)
    assert ask(app, "/items/7").json() == {"number": 7}
    assert ask(app, "/items/7", of=None).status_code == 200
    assert ask(app, "/nothing").status_code == 404
    [(kind, name, data), (_, _, missing)] = meter.events
    assert (kind, name, data["method"], data["status"]) == ("http.request", "acme", "GET", 200)
    assert data["path"] in ("/items/{number}", "/items/{number:int}", "/items/7")
    assert (data["response_bytes"], data["request_bytes"], missing["status"]) == (len(b'{"number":7}'), 0, 404)
    assert data["duration_ms"] > 0


def test_bodies_are_counted_and_what_breaks_is_a_500() -> None:
    meter = Recorded()
    app = MeterhouseMiddleware(fast_app(), meter=meter, organization=organization)
    ask(app, "/broken")
    assert meter.events[-1][2]["status"] == 500

    async def echo(_scope: Any, receive: Any, send: Any) -> None:
        message = await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": message["body"] * 2})

    ask(MeterhouseMiddleware(echo, meter=meter, organization=organization), "/echo", content=b"12345")
    assert (meter.events[-1][2]["request_bytes"], meter.events[-1][2]["response_bytes"]) == (5, 10)


def test_what_is_streamed_and_what_is_added_to_an_application() -> None:
    meter, done = Recorded(), []

    async def rows(_request: Any) -> StreamingResponse:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(3):
                yield b"row\n"

        return StreamingResponse(pieces(), background=BackgroundTask(done.append, "after"))

    app = Starlette(routes=[Route("/rows", rows)])
    app.add_middleware(MeterhouseMiddleware, meter=meter, organization=organization, event_type="rows.read")
    assert ask(app, "/rows").text == "row\n" * 3
    [(kind, _, data)] = meter.events
    assert (kind, data["response_bytes"], data["path"], done) == ("rows.read", 12, "/rows", ["after"])


def test_a_meter_that_is_full_fails_no_request(caplog: pytest.LogCaptureFixture) -> None:
    meter = Recorded()
    meter.fails = BufferFull("3 events wait")
    with caplog.at_level(logging.WARNING, "meterhouse_client"):
        app = MeterhouseMiddleware(fast_app(), meter=meter, organization=organization)
        assert ask(app, "/items/7").status_code == 200
    assert "usage was not recorded: BufferFull: 3 events wait" in caplog.text


def test_who_has_nothing_left_is_refused_and_nobody_while_the_server_is_away(server: Server) -> None:
    limited = {"plan": None, "anchor": "2026-03-01", "interval": "P1M"}
    full = server.organization("unsiloed", {**limited, "limits": {"credits": 0}})
    free = server.organization("unsiloed", {**limited, "limits": {"credits": 1}})
    told: list[Exception] = []

    async def answers(url: str, *names: str, key: str = ADMIN_KEY, status: int = 402) -> list[httpx.Response]:
        async with AsyncClient(url, key) as limits:
            app = MeterhouseMiddleware(
                fast_app(),
                meter=Recorded(),
                organization=organization,
                limits=limits,
                limited_meter="credits",
                refused_with=status,
                on_error=told.append,
            )
            transport = httpx.ASGITransport(app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://app") as http:
                return [await http.get("/items/1", headers={"x-organization": name}) for name in names]

    refused, taken = asyncio.run(answers(str(server.http.base_url), full, free))
    assert (refused.status_code, refused.json()["code"], taken.status_code) == (402, "quota_exceeded", 200)
    assert told == []
    [taken] = asyncio.run(answers("http://127.0.0.1:9", full))
    assert (taken.status_code, len(told)) == (200, 1)
    [refused] = asyncio.run(answers(str(server.http.base_url), full, status=429))
    assert (refused.status_code, refused.json()["status"], refused.json()["title"]) == (429, 429, "Too Many Requests")
    [taken] = asyncio.run(answers(str(server.http.base_url), full, key=altered(ADMIN_KEY)))
    assert (taken.status_code, len(told)) == (200, 2)
    assert "401" in str(told[-1])

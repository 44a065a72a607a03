"""What counts requests and tokens by itself, with the frameworks that people have."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import httpx
import pytest
from fastapi import FastAPI
from litestar import Litestar, get
from litestar.params import FromPath

from meterhouse_client import AsyncClient, Meter
from meterhouse_client.asgi import MeterhouseMiddleware
from meterhouse_client.llm import record_answer, record_stream, tokens
from meterhouse_client.wsgi import MeterhouseMiddleware as WsgiMiddleware
from support.server import ADMIN_KEY, Server


class Recorded(Meter):
    """Keeps what it is told, and sends nothing."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:9", "key")
        self.events: list[tuple[str, str, dict[str, Any]]] = []

    def record(self, event_type: str, organization: str, data: Any = None, **_: Any) -> str:
        self.events.append((event_type, organization, dict(data)))
        return "id"


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


@pytest.mark.parametrize("make", [fast_app, star_app])
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


def test_who_has_nothing_left_is_refused_and_nobody_while_the_server_is_away(server: Server) -> None:
    limited = {"plan": None, "anchor": "2026-03-01", "interval": "P1M"}
    full = server.organization("unsiloed", {**limited, "limits": {"credits": 0}})
    free = server.organization("unsiloed", {**limited, "limits": {"credits": 1}})
    told: list[Exception] = []

    async def answers(url: str, *names: str) -> list[httpx.Response]:
        async with AsyncClient(url, ADMIN_KEY) as limits:
            app = MeterhouseMiddleware(
                fast_app(),
                meter=Recorded(),
                organization=organization,
                limits=limits,
                limited_meter="credits",
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


def test_a_wsgi_application() -> None:
    meter = Recorded()

    def app(environ: Any, start_response: Any) -> Iterator[bytes]:
        if environ["PATH_INFO"] == "/broken":
            raise RuntimeError
        start_response("201 Created", [("Content-Type", "text/plain")])
        return iter([b"one", b"two"])

    counted = WsgiMiddleware(app, meter=meter, organization=lambda environ: environ.get("HTTP_X_ORGANIZATION"))

    def called(path: str, **environ: str) -> bytes:
        asked: dict[str, Any] = {"PATH_INFO": path, "QUERY_STRING": "", "SCRIPT_NAME": "", **environ}
        setup_testing_defaults(asked)
        answer = validator(counted)(asked, lambda *_: lambda _: None)
        try:
            return b"".join(answer)
        finally:
            answer.close()  # type: ignore[attr-defined]

    assert called("/items", HTTP_X_ORGANIZATION="acme", CONTENT_LENGTH="17") == b"onetwo"
    assert called("/items") == b"onetwo"
    with pytest.raises(RuntimeError):
        called("/broken", HTTP_X_ORGANIZATION="acme")
    [(kind, name, data), (_, _, broken)] = meter.events
    assert (kind, name, data["status"], data["path"]) == ("http.request", "acme", 201, "/items")
    assert (data["request_bytes"], data["response_bytes"], broken["status"]) == (17, 6, 500)


# As the pages of their APIs show them.
CHAT = {
    "model": "gpt-small",
    "usage": {"prompt_tokens": 30, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 10}},
}
RESPONSE = {
    "model": "gpt-small",
    "usage": {"input_tokens": 30, "output_tokens": 7, "input_tokens_details": {"cached_tokens": 10}},
}
MESSAGE = {
    "model": "claude-small",
    "usage": {
        "input_tokens": 15,
        "output_tokens": 7,
        "cache_read_input_tokens": 10,
        "cache_creation_input_tokens": 5,
    },
}
COUNTED = {"input_tokens": 30, "output_tokens": 7, "cached_tokens": 10, "cache_write_tokens": 0}


def as_object(value: Any) -> Any:
    return SimpleNamespace(**{k: as_object(v) for k, v in value.items()}) if isinstance(value, dict) else value


@pytest.mark.parametrize("shape", [dict, as_object])
def test_tokens_of_an_answer(shape: Any) -> None:
    meter = Recorded()
    answer = shape(CHAT)
    assert record_answer(meter, "acme", answer, team="blue") is answer
    assert meter.events == [("llm.usage", "acme", {"model": "gpt-small", **COUNTED, "team": "blue"})]
    assert tokens(shape(RESPONSE)) == {"model": "gpt-small", **COUNTED}
    assert tokens(shape(MESSAGE)) == {"model": "claude-small", **COUNTED, "cache_write_tokens": 5}
    assert tokens(shape({"choices": []})) is None
    record_answer(meter, "acme", shape({"choices": []}))
    assert len(meter.events) == 1


def test_tokens_of_streams() -> None:
    meter = Recorded()
    chat = [{"choices": [1], "usage": None, "model": "gpt-small"}, {"choices": []} | CHAT]
    assert [*record_stream(meter, "acme", chat)] == chat
    responses = [{"type": "response.output_text.delta"}, {"type": "response.completed", "response": RESPONSE}]
    [*record_stream(meter, "acme", responses)]
    started = {"usage": {**MESSAGE["usage"], "output_tokens": 1}, "model": "claude-small"}  # type: ignore[dict-item]
    messages = [
        {"type": "message_start", "message": started},
        {"type": "content_block_delta"},
        {"type": "message_delta", "usage": {"output_tokens": 7}},
        {"type": "message_stop"},
    ]
    assert [*record_stream(meter, "acme", messages)] == messages
    assert [data for _, _, data in meter.events] == [
        {"model": "gpt-small", **COUNTED},
        {"model": "gpt-small", **COUNTED},
        {"model": "claude-small", **COUNTED, "cache_write_tokens": 5},
    ]
    left = record_stream(meter, "acme", messages)
    next(left)
    left.close()  # type: ignore[attr-defined]
    assert meter.events[-1][2]["output_tokens"] == 1

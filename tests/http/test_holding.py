"""A process that may have lost its shard refuses what arrives."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterhouse.http.holding import WhileHolding


def answered(path: str, *, holds: bool) -> list[Any]:
    """What is sent for a request."""
    sent: list[Any] = []

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send("answered")

    async def send(message: Any) -> None:
        sent.append(message)

    async def receive() -> Any:
        raise AssertionError("nothing is read")

    scope: Any = {"type": "http", "path": path, "state": {"request_id": "r-1"}}
    asyncio.run(WhileHolding(app, lambda: holds)(scope, receive, send))
    return sent


@pytest.mark.parametrize("path", ["/v1/usage", "/readyz", "/", "/v1/events"])
def test_what_arrives_without_the_lease_is_to_be_repeated(path: str) -> None:
    start, body = answered(path, holds=False)
    assert start["status"] == 503
    assert (b"retry-after", b"1") in start["headers"]
    assert b"unavailable" in body["body"]
    assert answered(path, holds=True) == ["answered"]


@pytest.mark.parametrize("path", ["/healthz", "/metrics"])
def test_what_is_about_the_process_is_answered(path: str) -> None:
    assert answered(path, holds=False) == ["answered"]

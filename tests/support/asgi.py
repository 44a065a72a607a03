"""Calls an application in this process, for what cannot be done to a server from outside."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from support.documents import documents_of


class Client:
    """A synchronous client of an ASGI application."""

    def __init__(self, http: httpx.AsyncClient, runner: asyncio.Runner) -> None:
        self._http = http
        self._runner = runner

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._http.get(path, **options))

    def post(self, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._http.post(path, **options))

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self._runner.run(self._http.request(method, path, **options))


@contextmanager
def client_of(app: Any, *, documented: bool = True) -> Iterator[Client]:
    """A client that holds what contracts answer to their documents, unless they have other options."""
    hooks = {"response": [documents_of().async_hook] if documented else []}
    with asyncio.Runner() as runner:
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://meterhouse", event_hooks=hooks)
        yield Client(http, runner)
        runner.run(http.aclose())

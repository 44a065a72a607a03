"""One way to reach a Meterhouse: over the network, or in this process on a data folder, by the same HTTP API."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import httpx
import msgspec
from cyclopts import Parameter

from ..settings import Settings, from_environment
from .terminal import Failed

if TYPE_CHECKING:
    from ..wiring import Meterhouse

_decoder = msgspec.json.Decoder(float_hook=Decimal)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Target:
    """Which Meterhouse a command works on."""

    url: Annotated[str | None, Parameter(env_var="METERHOUSE_URL")] = None
    """A running server, like http://127.0.0.1:8000 (with METERHOUSE_ADMIN_KEY set); else the data folder is opened."""
    data: Annotated[Path, Parameter(env_var="METERHOUSE_DATA")] = Path("meterhouse-data")
    """The data folder."""
    catalog: Annotated[tuple[Path, ...], Parameter(negative="")] = ()
    """A catalog file; may be repeated. The five built-in ones when none is named."""


class Client:
    """Calls the API and turns problems into `Failed`."""

    def __init__(self, http: httpx.AsyncClient, runner: asyncio.Runner):
        self._http = http
        self._runner = runner

    def call(
        self, method: str, path: str, body: object = None, *, query: dict[str, str] | None = None, media_type: str = ""
    ) -> Any:
        """The decoded answer, numbers exact. `body` is JSON, or bytes together with a media type."""
        content = body if isinstance(body, bytes) else None if body is None else msgspec.json.encode(body)
        headers = {"content-type": media_type or "application/json"} if content is not None else {}
        try:
            response = self._runner.run(
                self._http.request(method, path, content=content, headers=headers, params=query)
            )
        except httpx.HTTPError as wrong:
            raise Failed(f"{self._http.base_url} does not answer: {wrong}; is the server running?") from None
        return self._read(method, path, response)

    def get(self, path: str, headers: dict[str, str]) -> Any:
        """The decoded answer to a GET with another credential."""
        return self._read("GET", path, self._runner.run(self._http.get(path, headers=headers)))

    def _read(self, method: str, path: str, response: httpx.Response) -> Any:
        if response.is_success:
            return _decoder.decode(response.content) if response.content else None
        try:
            detail = _decoder.decode(response.content)["detail"]
        except (msgspec.DecodeError, KeyError, TypeError):
            detail = f"{method} {path} was answered with status {response.status_code}"
        raise Failed(str(detail))


@contextmanager
def connect(target: Target, *, engine: bool) -> Iterator[Client]:
    """A client for the target; `engine` says whether events are needed when the folder is opened here."""
    if target.url is not None:
        admin_key = from_environment().admin_key
        if admin_key is None:
            raise Failed("set METERHOUSE_ADMIN_KEY to the server's admin key")
        with asyncio.Runner() as runner:
            http = httpx.AsyncClient(
                base_url=target.url, headers={"authorization": f"Bearer {admin_key}"}, timeout=120, trust_env=False
            )
            yield Client(http, runner)
            runner.run(http.aclose())
        return
    with open_local(settings_for(target), engine=engine) as client:
        yield client


def settings_for(target: Target) -> Settings:
    """The environment's settings, with what the command line says on top."""
    settings = from_environment()
    return replace(settings, data=target.data, catalogs=target.catalog or settings.catalogs)


@contextmanager
def open_local(settings: Settings, *, engine: bool) -> Iterator[Client]:
    """A client of a Meterhouse in this process, which owns the folder meanwhile."""
    from ..wiring import open_meterhouse  # noqa: PLC0415 - a remote call needs none of it

    with open_meterhouse(settings, engine=engine) as meterhouse, client_of(meterhouse) as client:
        yield client


@contextmanager
def client_of(meterhouse: Meterhouse) -> Iterator[Client]:
    """A client with the admin key of a Meterhouse that is open in this process."""
    with asyncio.Runner() as runner:
        http = httpx.AsyncClient(
            transport=httpx.ASGITransport(meterhouse.app),  # type: ignore[arg-type] # two spellings of ASGI's types
            base_url="http://meterhouse",
            headers={"authorization": f"Bearer {meterhouse.admin_key}"},
        )
        yield Client(http, runner)
        runner.run(http.aclose())

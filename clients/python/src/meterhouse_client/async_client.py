"""The same as `client`, for programs that await."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx

from .asking import (
    TIMEOUT_S,
    Amount,
    Check,
    check_of,
    commitment,
    draft,
    encoded,
    http_options,
    path_of,
    query_of,
    question,
    read_answer,
)
from .errors import Unreachable


class AsyncClient:
    """The same for programs that await."""

    def __init__(self, url: str, key: str, *, source: str = "meterhouse-client", timeout_s: float = TIMEOUT_S):
        """See `Client`."""
        self._source = source
        self._options = http_options(url, key, timeout_s)
        self._made: dict[asyncio.AbstractEventLoop | None, httpx.AsyncClient] = {}
        self._process = os.getpid()

    def _http(self) -> httpx.AsyncClient:
        """Connections are of the process and the event loop that made them: each has its own."""
        if self._process != os.getpid():
            self._made, self._process = {}, os.getpid()
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:  # another library's
            loop = None
        if loop not in self._made:
            self._made = {each: made for each, made in self._made.items() if each is None or not each.is_closed()}
            self._made[loop] = httpx.AsyncClient(**self._options)
        return self._made[loop]

    async def usage(self, organization: str, **query: Any) -> Any:
        """See `Client.usage`."""
        return await self._ask("GET", path_of(organization, "usage"), params=query_of((), query))

    async def query(self, meters: str | Sequence[str], **query: Any) -> Any:
        """See `Client.query`."""
        return await self._ask("GET", "/v1/query", params=query_of(meters, query))

    async def check(self, organization: str, meter: str, amount: Amount = 1, **properties: str) -> Check:
        """See `Client.check`."""
        return check_of(
            await self._ask("POST", path_of(organization, "check"), json=question(meter, amount, properties))
        )

    def reserve(
        self,
        organization: str,
        meter: str,
        amount: Amount,
        *,
        expires_in_s: int = 300,
        id: str | None = None,
        **properties: str,
    ) -> AsyncReservation:
        """See `Client.reserve`: `async with client.reserve(…) as held: … await held.commit(…)`."""
        asked = draft(meter, amount, properties, expires_in_s, id)
        return AsyncReservation(self, organization, asked)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            return read_answer(await self._http().request(method, path, **encoded(options)))
        except httpx.HTTPError as failure:
            raise Unreachable(f"{method} {path}: {type(failure).__name__}: {failure}") from failure

    async def aclose(self) -> None:
        """Ends the connections of this event loop."""
        await self._http().aclose()

    async def __aenter__(self) -> AsyncClient:
        """The client."""
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        await self.aclose()


class AsyncReservation:
    """What is held, from `async with` on."""

    def __init__(self, client: AsyncClient, organization: str, asked: Mapping[str, Any]):
        """Nothing is asked yet."""
        self._client = client
        self._organization = organization
        self._asked = asked
        self._path = path_of(organization, "reservations")
        self._open = False
        self.id: str = asked["id"]

    async def commit(
        self,
        event_type: str,
        data: Mapping[str, Any] | None = None,
        *,
        amount: Amount | None = None,
        at: datetime | None = None,
        id: str | None = None,
    ) -> None:
        """See `Reservation.commit`."""
        source = self._client._source
        body = commitment(source, self._organization, event_type, data, amount=amount, at=at, name=id)
        await self._client._ask("POST", f"{self._path}/{quote(self.id, safe='')}/commit", json=body)
        self._open = False

    async def release(self) -> None:
        """Lets go of it."""
        if self._open:
            await self._client._ask("DELETE", f"{self._path}/{quote(self.id, safe='')}")
            self._open = False

    async def __aenter__(self) -> AsyncReservation:
        """Holds it. Raises `QuotaExceeded` where there is no room."""
        await self._client._ask("POST", self._path, json=self._asked)
        self._open = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets go of what was not committed; where the server cannot be reached, it expires."""
        try:
            await self.release()
        except Unreachable:
            if kind is None:
                raise

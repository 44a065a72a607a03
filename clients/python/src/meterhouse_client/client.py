"""Asking a server: usage, queries, checks, reservations; for programs that wait."""

from __future__ import annotations

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


class Client:
    """Asks and waits. Raises `Refused` for what the server refuses, `Unreachable` where it does not answer."""

    def __init__(self, url: str, key: str, *, source: str = "meterhouse-client", timeout_s: float = TIMEOUT_S):
        """`key` is one that may read; to check and reserve, one that may send events."""
        self._source = source
        self._options = http_options(url, key, timeout_s)
        self._made: dict[int, httpx.Client] = {}

    def _http(self) -> httpx.Client:
        """Connections are of the process that made them: one that is forked makes its own, and leaves these alone."""
        process = os.getpid()
        if process not in self._made:
            self._made = {process: httpx.Client(**self._options)}
        return self._made[process]

    def usage(self, organization: str, **query: Any) -> Any:
        """`GET /v1/organizations/{id}/usage`: every meter with its limit; numbers are exact."""
        return self._ask("GET", path_of(organization, "usage"), params=query_of((), query))

    def query(self, meters: str | Sequence[str], **query: Any) -> Any:
        """`GET /v1/query` with its parameters by name; `from_` stands for `from`, and `filters` is a dictionary."""
        return self._ask("GET", "/v1/query", params=query_of(meters, query))

    def check(self, organization: str, meter: str, amount: Amount = 1, **properties: str) -> Check:
        """Whether there is room for an amount; nothing is held. `properties` are those that limits are told apart
        by."""
        return check_of(self._ask("POST", path_of(organization, "check"), json=question(meter, amount, properties)))

    def reserve(
        self,
        organization: str,
        meter: str,
        amount: Amount,
        *,
        expires_in_s: int = 300,
        id: str | None = None,
        **properties: str,
    ) -> Reservation:
        """Holds an amount: `with client.reserve("acme", "tokens", 500) as held: … held.commit("llm.call", {…})`. What
        is not committed is let go. Raises `QuotaExceeded` where there is no room."""
        path = path_of(organization, "reservations")
        asked = draft(meter, amount, properties, expires_in_s, id)
        made = self._ask("POST", path, json=asked)
        return Reservation(self, f"{path}/{quote(made['id'], safe='')}", organization, made)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            return read_answer(self._http().request(method, path, **encoded(options)))
        except httpx.HTTPError as failure:
            raise Unreachable(f"{method} {path}: {type(failure).__name__}: {failure}") from failure

    def close(self) -> None:
        """Ends connections."""
        self._http().close()

    def __enter__(self) -> Client:
        """The client."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()


class Reservation:
    """What is held."""

    def __init__(self, client: Client, path: str, organization: str, made: Mapping[str, Any]):
        """As the server has made it."""
        self._client = client
        self._path = path
        self._organization = organization
        self._open = True
        self.id: str = made["id"]
        self.made = made

    def commit(
        self,
        event_type: str,
        data: Mapping[str, Any] | None = None,
        *,
        amount: Amount | None = None,
        at: datetime | None = None,
        id: str | None = None,
    ) -> None:
        """Stores the event that uses it, at once; the rest is let go. With `amount`, an event that comes to something
        else is refused."""
        source = self._client._source
        body = commitment(source, self._organization, event_type, data, amount=amount, at=at, name=id)
        self._client._ask("POST", f"{self._path}/commit", json=body)
        self._open = False

    def release(self) -> None:
        """Lets go of it."""
        if self._open:
            self._client._ask("DELETE", self._path)
            self._open = False

    def __enter__(self) -> Reservation:
        """What is held."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Lets go of what was not committed; where the server cannot be reached, it expires."""
        try:
            self.release()
        except Unreachable:
            if kind is None:
                raise

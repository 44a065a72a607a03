"""Asking a server: usage, queries, checks, reservations. The same for programs that wait and for those that await."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from types import TracebackType
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from .errors import QuotaExceeded, Refused, Unreachable
from .events import Ids, stamp

_decoder = msgspec.json.Decoder(float_hook=Decimal)
_TIMEOUT_S = 30.0
_ids = Ids()
Amount = int | Decimal | str
"""An amount is sent digit by digit; a float is not taken, because it is another number than it looks like."""


@dataclass(frozen=True)
class Check:
    """Whether there is room, and the server's whole answer."""

    allowed: bool
    left: Decimal | int | None
    answer: Mapping[str, Any]


def _path(organization: str, what: str) -> str:
    return f"/v1/organizations/{quote(organization, safe='')}/{what}"


def _query(meters: str | Sequence[str], asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    given: list[tuple[str, str]] = [("meter", each) for each in ([meters] if isinstance(meters, str) else meters)]
    for name, value in asked.items():
        if name == "filters":
            given += [(f"filter.{path}", text) for path, text in value.items()]
            continue
        for each in value if isinstance(value, list | tuple) else [value]:
            if each is not None:
                given.append((name.rstrip("_"), _written(each)))
    return given


def _written(value: Any) -> str:
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ValueError("an instant needs a time zone")
        return value.isoformat()
    return str(value).lower() if isinstance(value, bool) else str(value)


def _question(meter: str, amount: Amount, properties: Mapping[str, str]) -> dict[str, Any]:
    if isinstance(amount, float):
        raise TypeError("amount must be an int, a Decimal or a text: a float is another number than it looks like")
    return {"meter": meter, "amount": str(amount), "for": dict(properties)}


def _read(answer: httpx.Response) -> Any:
    """The decoded answer, numbers exact. Raises `Refused` and `QuotaExceeded`."""
    if answer.is_success:
        return _decoder.decode(answer.content) if answer.content else None
    try:
        told = _decoder.decode(answer.content)
    except msgspec.DecodeError:
        told = None
    told = told if isinstance(told, dict) else {}
    inner = told.get("detail", told.get("error", answer.text[:200]))  # contracts have refusals of their own
    code, detail = (inner.get("status"), inner.get("message")) if isinstance(inner, dict) else (None, inner)
    kind = QuotaExceeded if answer.status_code == 402 else Refused
    raise kind(answer.status_code, str(told.get("code") or code or "unknown"), str(detail), told)


def _check(answer: Mapping[str, Any]) -> Check:
    return Check(bool(answer["allowed"]), answer.get("left"), answer)


def _options(url: str, key: str, timeout_s: float) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "user-agent": "meterhouse-client"}
    return {"base_url": url, "headers": headers, "timeout": timeout_s}


def _encoded(options: dict[str, Any]) -> dict[str, Any]:
    """What httpx is to send: amounts and events in a body as they are written."""
    if "json" not in options:
        return options
    content = msgspec.json.encode(options.pop("json"))
    return options | {"content": content, "headers": {"content-type": "application/json"}}


def _draft(
    meter: str, amount: Amount, properties: Mapping[str, str], expires_in_s: int, name: str | None
) -> dict[str, Any]:
    """A reservation that is asked for."""
    return _question(meter, amount, properties) | {"id": name or _ids.new(), "expires_in_seconds": expires_in_s}


def _commitment(
    source: str,
    organization: str,
    event_type: str,
    data: Mapping[str, Any] | None,
    *,
    amount: Amount | None,
    at: datetime | None,
    name: str | None,
) -> dict[str, Any]:
    """The event that uses a reservation."""
    event = stamp(
        _ids, source=source, event_type=event_type, organization=organization, data=data, at=at, event_id=name
    )
    return {"event": msgspec.Raw(event.body), **({} if amount is None else {"amount": str(amount)})}


class Client:
    """Asks and waits. Raises `Refused` for what the server refuses, `Unreachable` where it does not answer."""

    def __init__(self, url: str, key: str, *, source: str = "meterhouse-client", timeout_s: float = _TIMEOUT_S):
        """`key` is one that may read; to check and reserve, one that may send events."""
        self._source = source
        self._http = httpx.Client(**_options(url, key, timeout_s))

    def usage(self, organization: str, **query: Any) -> Any:
        """`GET /v1/organizations/{id}/usage`: every meter with its limit; numbers are exact."""
        return self._ask("GET", _path(organization, "usage"), params=_query((), query))

    def query(self, meters: str | Sequence[str], **query: Any) -> Any:
        """`GET /v1/query` with its parameters by name; `from_` stands for `from`, and `filters` is a dictionary."""
        return self._ask("GET", "/v1/query", params=_query(meters, query))

    def check(self, organization: str, meter: str, amount: Amount = 1, **properties: str) -> Check:
        """Whether there is room for an amount; nothing is held. `properties` are those that limits are told apart
        by."""
        return _check(self._ask("POST", _path(organization, "check"), json=_question(meter, amount, properties)))

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
        path = _path(organization, "reservations")
        asked = _draft(meter, amount, properties, expires_in_s, id)
        made = self._ask("POST", path, json=asked)
        return Reservation(self, f"{path}/{quote(made['id'], safe='')}", organization, made)

    def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            return _read(self._http.request(method, path, **_encoded(options)))
        except httpx.HTTPError as failure:
            raise Unreachable(f"{method} {path}: {type(failure).__name__}: {failure}") from failure

    def close(self) -> None:
        """Ends connections."""
        self._http.close()

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
        body = _commitment(source, self._organization, event_type, data, amount=amount, at=at, name=id)
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


class AsyncClient:
    """The same for programs that await."""

    def __init__(self, url: str, key: str, *, source: str = "meterhouse-client", timeout_s: float = _TIMEOUT_S):
        """See `Client`."""
        self._source = source
        self._http = httpx.AsyncClient(**_options(url, key, timeout_s))

    async def usage(self, organization: str, **query: Any) -> Any:
        """See `Client.usage`."""
        return await self._ask("GET", _path(organization, "usage"), params=_query((), query))

    async def query(self, meters: str | Sequence[str], **query: Any) -> Any:
        """See `Client.query`."""
        return await self._ask("GET", "/v1/query", params=_query(meters, query))

    async def check(self, organization: str, meter: str, amount: Amount = 1, **properties: str) -> Check:
        """See `Client.check`."""
        return _check(await self._ask("POST", _path(organization, "check"), json=_question(meter, amount, properties)))

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
        asked = _draft(meter, amount, properties, expires_in_s, id)
        return AsyncReservation(self, organization, asked)

    async def _ask(self, method: str, path: str, **options: Any) -> Any:
        try:
            return _read(await self._http.request(method, path, **_encoded(options)))
        except httpx.HTTPError as failure:
            raise Unreachable(f"{method} {path}: {type(failure).__name__}: {failure}") from failure

    async def aclose(self) -> None:
        """Ends connections."""
        await self._http.aclose()

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
        self._path = _path(organization, "reservations")
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
        body = _commitment(source, self._organization, event_type, data, amount=amount, at=at, name=id)
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

"""What is sent to a server to ask it, and how its answers are read: the same for programs that wait and that await."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from .errors import QuotaExceeded, Refused, Unreachable
from .events import Ids, stamp

_decoder = msgspec.json.Decoder(float_hook=Decimal)
TIMEOUT_S = 30.0
_ids = Ids()
Amount = int | Decimal | str
"""An amount is sent digit by digit; a float is not taken, because it is another number than it looks like."""


@dataclass(frozen=True)
class Check:
    """Whether there is room, and the server's whole answer."""

    allowed: bool
    left: Decimal | int | None
    answer: Mapping[str, Any]


def path_of(organization: str, what: str) -> str:
    """Where something of an organization is."""
    return f"/v1/organizations/{quote(organization, safe='')}/{what}"


def query_of(meters: str | Sequence[str], asked: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The parameters of a question."""
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


def question(meter: str, amount: Amount, properties: Mapping[str, str]) -> dict[str, Any]:
    """Asks for an amount of a meter."""
    if isinstance(amount, float):
        raise TypeError("amount must be an int, a Decimal or a text: a float is another number than it looks like")
    return {"meter": meter, "amount": str(amount), "for": dict(properties)}


def read_answer(answer: httpx.Response) -> Any:
    """The decoded answer, numbers exact. Raises `Refused` and `QuotaExceeded`, and `Unreachable` where something else
    has answered."""
    try:
        told = _decoder.decode(answer.content) if answer.content else None
    except msgspec.DecodeError as wrong:
        if answer.is_success:
            raise Unreachable(
                f"{answer.url}: {answer.status_code}, but the answer is no JSON: is a proxy there?"
            ) from wrong
        told = None
    if answer.is_success:
        return told
    told = told if isinstance(told, dict) else {}
    inner = told.get("detail", told.get("error", answer.text[:200]))  # contracts have refusals of their own
    code, detail = (inner.get("status"), inner.get("message")) if isinstance(inner, dict) else (None, inner)
    kind = QuotaExceeded if answer.status_code == 402 else Refused
    raise kind(answer.status_code, str(told.get("code") or code or "unknown"), str(detail), told)


def check_of(answer: Mapping[str, Any]) -> Check:
    """What was found."""
    return Check(bool(answer["allowed"]), answer.get("left"), answer)


def http_options(url: str, key: str, timeout_s: float) -> dict[str, Any]:
    """What a client of httpx is made with."""
    headers = {"authorization": f"Bearer {key}", "user-agent": "meterhouse-client"}
    return {"base_url": url, "headers": headers, "timeout": timeout_s}


def encoded(options: dict[str, Any]) -> dict[str, Any]:
    """What httpx is to send: amounts and events in a body as they are written."""
    if "json" not in options:
        return options
    content = msgspec.json.encode(options.pop("json"))
    return options | {"content": content, "headers": {"content-type": "application/json"}}


def draft(
    meter: str, amount: Amount, properties: Mapping[str, str], expires_in_s: int, name: str | None
) -> dict[str, Any]:
    """A reservation that is asked for."""
    return question(meter, amount, properties) | {"id": name or _ids.new(), "expires_in_seconds": expires_in_s}


def commitment(
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

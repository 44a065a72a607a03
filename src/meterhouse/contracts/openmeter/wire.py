"""What every operation of OpenMeter's API has in common: problems, bodies, instants, pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from http import HTTPStatus
from typing import Any, TypeVar

import msgspec

from ...domain.errors import Invalid
from ...domain.period import format_instant
from ...domain.quantity import parse_quantity
from ..namespace_contract import Call, Failure, Refuse, Reply, number_between, parse_sent_instant

T = TypeVar("T")

PAGE_SIZE, MOST_PAGE_SIZE = 100, 1_000
_FIELD = re.compile(r"`\$\.?([^`]*)`")


class Problem(msgspec.Struct):
    """An error. Field errors are in `extensions.validationErrors`."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    extensions: dict[str, Any]


class FieldError(msgspec.Struct):
    """What is wrong with one field of a request."""

    field: str
    code: str
    message: str


def refuse(failure: Failure) -> Reply:
    """A failure as a problem. Its content type has no parameters: a client of OpenMeter's compares the whole of it."""
    body = Problem(
        "about:blank",
        HTTPStatus(failure.status).phrase,
        failure.status,
        failure.message,
        f"urn:request:{failure.request_id}",
        dict(failure.details),
    )
    headers = {"www-authenticate": 'Bearer realm="meterhouse"'} if failure.status == 401 else {}
    return Reply(failure.status, body, "application/problem+json", headers)


def bad_field(field: str, message: str, code: str = "invalid") -> Refuse:
    """The refusal of a field of the body, or of a parameter."""
    return Refuse(400, f"{field}: {message}", validationErrors=[FieldError(field, code, message)])


def decoded(body: bytes, kind: type[T]) -> T:
    """A body in JSON. Raises `Refuse`."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        field = _FIELD.search(str(wrong))
        raise bad_field(field[1] if field else "body", str(wrong)) from None


def instant(field: str, text: str | None) -> datetime | None:
    """An instant of a parameter or a field; None where there is none. Raises `Refuse`."""
    if text is None:
        return None
    try:
        return parse_sent_instant(text)
    except Invalid as wrong:
        raise bad_field(field, str(wrong)) from None


def quantity_of(field: str, number: Decimal) -> Decimal:
    """A number that is not negative, exactly as it was written. Raises `Refuse`."""
    try:
        quantity = parse_quantity(str(number))
    except Invalid as wrong:
        raise bad_field(field, str(wrong)) from None
    if quantity < 0:
        raise bad_field(field, "must not be negative")
    return quantity


def written(at: datetime | None) -> str | None:
    """An instant as it is answered."""
    return None if at is None else format_instant(at)


def whole_number(call: Call, name: str, default: int, most: int, least: int = 1) -> int:
    """A parameter that is a number. Raises `Refuse`."""
    text = call.one(name)
    if text is None:
        return default
    number = number_between(text, least, most)
    if number is None:
        raise bad_field(name, f"must be a number from {least} to {most}")
    return number


def flag(call: Call, name: str) -> bool:
    """A parameter that is true or false, which it is when absent. Raises `Refuse`."""
    text = call.one(name)
    if text not in (None, "true", "false"):
        raise bad_field(name, "must be true or false")
    return text == "true"


def page(call: Call, items: Sequence[object]) -> Reply:
    """One page of a list, by number."""
    number = whole_number(call, "page", 1, 1_000_000)
    size = whole_number(call, "pageSize", PAGE_SIZE, MOST_PAGE_SIZE)
    shown = items[(number - 1) * size : number * size]
    return Reply(200, {"totalCount": len(items), "page": number, "pageSize": size, "items": shown})


def listed(call: Call, items: Sequence[object]) -> Reply:
    """All of a list, or a page of it where the request asks for pages."""
    paged = call.one("page") is not None or call.one("pageSize") is not None
    return page(call, items) if paged else Reply(200, items)

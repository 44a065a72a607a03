"""The request as every handler sees it."""

from __future__ import annotations

from typing import Any, TypeAlias

from litestar import Request
from litestar.datastructures import State

HttpRequest: TypeAlias = Request[Any, Any, State]


def is_https(request: HttpRequest) -> bool:
    """Tells whether it was sent by https: to this server, or to a proxy before it that says so."""
    return "https" in (request.url.scheme, request.headers.get("x-forwarded-proto"))


def address_of(request: HttpRequest) -> str:
    """Gives the address that it was sent to, without a path, like `https://usage.example.com`."""
    address = request.base_url.with_replacements(scheme="https") if is_https(request) else request.base_url
    return str(address).rstrip("/")

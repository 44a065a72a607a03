"""What a contract is: a key format, a way to find the credential, routes, and its own shape for every refusal.

A contract parses a request into questions to a `UsageReader` and renders the answers. It has no SQL, no storage and
no clock of its own, and knows no web framework.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from typing import Any

from ..domain.organization import Key, KeyFormat
from ..ports import UsageReader

HEX = "0123456789abcdef"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


@dataclass(frozen=True, slots=True)
class Request:
    """What a contract sees of an HTTP request. Header names are in lower case; `query` has the first of each name."""

    path_parameters: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    request_id: str
    now: datetime


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, a body that msgspec can encode, and headers beyond the content type."""

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)


class Refusal(Enum):
    """Why a request is refused. Each contract says it in its own words."""

    NO_CREDENTIAL = auto()
    BAD_CREDENTIAL = auto()
    ORGANIZATION_GONE = auto()
    FORBIDDEN = auto()
    INVALID = auto()
    NOT_FOUND = auto()
    METHOD_NOT_ALLOWED = auto()
    INTERNAL = auto()


class Refused(Exception):
    """Raised by a route to answer a refusal. `field` and `message` name the parameter at fault of an `INVALID`."""

    def __init__(self, refusal: Refusal, field: str = "", message: str = ""):
        super().__init__(message)
        self.refusal = refusal
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Route:
    """One GET operation. `paths` are the canonical path and its aliases, with `{name}` for parameters."""

    paths: tuple[str, ...]
    handle: Callable[[Request, Key, UsageReader], Answer]
    scope: str | None
    """The scope that a key needs, if the contract has scopes."""
    summary: str
    response: type
    """The msgspec type of the 200 body, from which the OpenAPI document is made."""
    parameters: tuple[Mapping[str, Any], ...] = ()
    """OpenAPI parameter objects."""


@dataclass(frozen=True, slots=True)
class Contract:
    """One published wire format."""

    name: str
    title: str
    source: str
    """What the contract was taken from."""
    key_format: KeyFormat
    default_scopes: frozenset[str]
    scopes: frozenset[str]
    security: Mapping[str, Mapping[str, str]]
    """OpenAPI security schemes, any one of which suffices."""
    credential: Callable[[Mapping[str, str]], str | None]
    """The secret that the headers carry, None when there is none."""
    refuse: Callable[[Request, Refused], Answer]
    error: type
    """The msgspec type of an error body."""
    routes: tuple[Route, ...]
    scope_order: tuple[str, ...] = ()
    """Scopes of which each includes those before it."""

    def may_read(self, key: Key, route: Route) -> bool:
        """Whether a key's scopes allow the route."""
        if route.scope is None or route.scope in key.scopes:
            return True
        if route.scope not in self.scope_order:
            return False
        return not key.scopes.isdisjoint(self.scope_order[self.scope_order.index(route.scope) :])


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of an `Authorization: Bearer …` header; the scheme in any case."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None

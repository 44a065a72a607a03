"""What a contract is: a key format, a way to find the credential, routes, and its own shape for every refusal.

A contract parses a request into questions to a `UsageReader` and renders the answers. It has no SQL, no storage and
no clock of its own, and knows no web framework. One that is not built in is found by its entry point: see
docs/how-to/add-a-contract.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import Enum, auto
from typing import Annotated, Any, TypeVar

import msgspec

from ..domain.organization import Caller, KeyFormat
from ..domain.period import LAST_INSTANT, format_instant
from ..domain.quantity import ZERO, subtract
from ..ports.usage_reader import UsageReader

T = TypeVar("T", bound=str)

FOREVER = LAST_INSTANT
"""For `Answer.valid_until`: the clock alone does not make it untrue before the usage period ends."""

HEX = "0123456789abcdef"
BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

DateTime = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date-time"})]
"""An instant on the wire."""
Date = Annotated[str, msgspec.Meta(extra_json_schema={"format": "date"})]
"""A date on the wire, YYYY-MM-DD."""


RequestsPerHour = Annotated[
    int,
    msgspec.Meta(
        ge=0,
        le=1_000_000,
        description="Answers an organization gets in one UTC hour, across its keys; 0 for no limit.",
    ),
]


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator may set of any contract, as the environment variable METERHOUSE_<CONTRACT>_<OPTION>."""

    requests_per_hour: RequestsPerHour = 0


class TokenOptions(Options, frozen=True, kw_only=True):
    """The same for a contract that takes JSON Web Tokens beside keys."""

    jwks: Annotated[
        str,
        msgspec.Meta(description="URL or file of the JSON Web Key Set that tokens are signed with; empty: no tokens."),
    ] = ""
    issuer: Annotated[str, msgspec.Meta(description="The `iss` that a token must have; empty: any.")] = ""
    audience: Annotated[str, msgspec.Meta(description="The `aud` that a token must have; empty: any.")] = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What a contract sees of an HTTP request."""

    path_parameters: Mapping[str, str]
    query: Mapping[str, tuple[str, ...]]
    headers: Mapping[str, str]
    """Those of `Contract.headers`, by their names in lower case; a repeated one is joined with `, `."""
    request_id: str
    now: datetime
    options: Any
    """The contract's own `Options`, as the operator set them."""

    def parameter(self, name: str) -> str | None:
        """The query parameter of that name; raises `Refused` (INVALID) when it is given more than once."""
        values = self.query.get(name)
        if values is None:
            return None
        if len(values) > 1:
            raise Refused(Refusal.INVALID, name, "must be given once")
        return values[0]

    def choice(self, name: str, allowed: Sequence[T]) -> T | None:
        """The query parameter, one of a few texts; None when it is absent, `Refused` (INVALID) for any other."""
        given = self.parameter(name)
        if given is None:
            return None
        for text in allowed:
            if text == given:
                return text
        raise Refused(Refusal.INVALID, name, f"must be one of {', '.join(allowed)}")


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, a body that msgspec can encode, and headers beyond the content type.

    One that names its `valid_until` is kept, and given again to the same credential for the same path, query and
    headers until then, or until the organization's events, its subscription or keys change or its usage period ends.
    So nothing else may go into it: of the clock only `UsageReader.now`, and no request id but by way of the `envelope`.
    """

    status: int
    body: object
    headers: Mapping[str, str] = field(default_factory=dict)
    valid_until: datetime | None = None
    """When it ends to be true by the clock alone, or `FOREVER`; None: it is given once."""
    envelope: Callable[[msgspec.Raw, str, datetime], object] | None = None
    """Puts the encoded body, each time it is given, beside that request's id and moment; None: nothing is beside it."""


class Refusal(Enum):
    """Why a request is refused. Each contract says it in its own words."""

    NO_CREDENTIAL = auto()
    BAD_CREDENTIAL = auto()
    ORGANIZATION_GONE = auto()
    FORBIDDEN = auto()
    INVALID = auto()
    NOT_FOUND = auto()
    METHOD_NOT_ALLOWED = auto()
    RATE_LIMITED = auto()
    INTERNAL = auto()


class Refused(Exception):
    """Raised by a route to answer a refusal. `field` and `message` name the parameter at fault of an `INVALID`."""

    def __init__(self, refusal: Refusal, field: str = "", message: str = ""):
        super().__init__(message)
        self.refusal = refusal
        self.field = field
        self.message = message


@dataclass(frozen=True, slots=True)
class Shortage:
    """What a limit has no room for."""

    meter: str
    used: Decimal
    """With what is reserved."""
    limit: Decimal
    message: str
    """A sentence that names the limit."""

    @property
    def left(self) -> Decimal:
        """Never negative."""
        return max(ZERO, subtract(self.limit, self.used))


@dataclass(frozen=True, slots=True)
class Route:
    """One GET operation. `paths` are the canonical path and its aliases, with `{name}` for parameters."""

    paths: tuple[str, ...]
    handle: Callable[[Request, Caller, UsageReader], Answer]
    scope: str | None
    """The scope that a credential needs, if the operation needs any."""
    operation_id: str
    """The operation's name in the OpenAPI document."""
    summary: str
    response: type
    """The msgspec type of the 200 body, from which the OpenAPI document is made."""
    example: object
    """A 200 body, for the OpenAPI document."""
    parameters: tuple[Mapping[str, Any], ...] = ()
    """OpenAPI parameter objects."""
    refusals: tuple[Refusal, ...] = ()
    """What it refuses beside what any operation refuses."""


@dataclass(frozen=True, slots=True)
class TokenIdentity:
    """Who a token speaks for, according to its claims."""

    organization: str
    user_id: str
    scopes: frozenset[str]


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
    options: Options = field(default_factory=Options)
    """The defaults of what an operator may set."""
    insufficient_quota: Callable[[Shortage], Answer | None] | None = None
    """The 402 of the product where a call of its own does not fit into the quota; None: it has no words for that."""
    identity: Callable[[Mapping[str, Any]], TokenIdentity] | None = None
    """Reads the claims of a verified token; raises `Refused`. None: the contract takes keys only."""

    @property
    def headers(self) -> frozenset[str]:
        """The names, in lower case, of the only headers that the contract sees: those that its security schemes and the
        parameters of its routes declare."""
        schemes = {scheme.get("name", "authorization") for scheme in self.security.values()}
        parameters = [parameter for route in self.routes for parameter in route.parameters]
        return frozenset(
            name.lower() for name in schemes.union(each["name"] for each in parameters if each["in"] == "header")
        )

    def may_read(self, caller: Caller, route: Route) -> bool:
        """Whether a caller's scopes allow the route."""
        if route.scope is None or route.scope in caller.scopes:
            return True
        if route.scope not in self.scope_order:
            return False
        return not caller.scopes.isdisjoint(self.scope_order[self.scope_order.index(route.scope) :])


def timestamp(instant: datetime) -> str:
    """An instant as contracts print it: in UTC with `Z`, cut to whole seconds."""
    return format_instant(instant.replace(microsecond=0))


def bearer(headers: Mapping[str, str]) -> str | None:
    """The token of an `Authorization: Bearer …` header; the scheme in any case."""
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None

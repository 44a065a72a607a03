"""Refuses query parameters that an endpoint of our own does not declare. Ignoring one would answer another question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TypeAlias
from urllib.parse import parse_qsl

from litestar import Litestar
from litestar.routes import HTTPRoute

from ..domain.errors import Invalid
from ..domain.query_parameters import unknown_parameter
from .request import HttpRequest

Declared: TypeAlias = Mapping[str, bool]
"""The names of an endpoint's query parameters, and whether each may be repeated. A name that ends with a dot stands for
all names that begin with it: those may be empty."""

PREFIXES = "query_prefixes"
"""The name in a handler's `opt` of the parameters that it takes beside those of its signature: `{"filter.": True}`
declares `filter.model` and all the like, and that each may be repeated. See `given_parameters`."""

READS_QUERY = {"reads_query": True}
"""The `opt` of a handler that judges its query itself, as those of contracts do."""


def declare_query(app: Litestar) -> None:
    """Reads from all handlers which query parameters they take, for `check_query`. Call it once, at the start."""
    app.state.query = {
        handler: {each.field_alias: each.is_sequence for each in parameters.expected_query_params}
        | handler.opt.get(PREFIXES, {})
        for route in app.routes
        if isinstance(route, HTTPRoute)
        for handler, parameters in route.route_handler_map.values()
    }


async def check_query(request: HttpRequest) -> None:
    """Raises `Invalid` for a parameter that is unknown, empty, or repeated where one value is taken."""
    query, handler = request.scope["query_string"], request.scope["route_handler"]
    if not query or handler.opt.get("reads_query"):
        return
    declared: Declared = request.app.state.query[handler]
    given = given_parameters(request)
    for name, value in given:
        declaration = _declaration(name)
        if declaration not in declared:
            raise unknown_parameter(name, sorted(declared))
        if not value and declaration == name:
            raise Invalid(f"the query parameter {name} is empty; give it a value, or leave it out")
    for name, times in Counter(name for name, _ in given).items():
        if times > 1 and not declared[_declaration(name)]:
            raise Invalid(f"the query parameter {name} must be given once, not {times} times")


def given_parameters(request: HttpRequest) -> list[tuple[str, str]]:
    """The names and values of a request's query, in its order."""
    return parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True)


def _declaration(name: str) -> str:
    """What declares a parameter of this name: a prefix, or the name itself."""
    beginning, dot, _ = name.partition(".")
    return beginning + dot

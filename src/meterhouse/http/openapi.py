"""Meterhouse's own OpenAPI document: parameters as the framework knows them, bodies and answers as they are written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from typing import Any, get_args, get_origin

import msgspec
from litestar import Litestar, Response
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute

from .problems import PROBLEM_JSON, Problem

JSON = "application/json"
_REFERENCE = "#/components/schemas/{name}"
_DESCRIBED = "described"
_ALWAYS = (400, 401, 403, 429, 500, 503)
_WITH_BODY = (408, 413, 415)


@dataclass(frozen=True, slots=True)
class Described:
    """What a handler's signature does not tell of its answers and its body."""

    answers: Mapping[int, Any] = field(default_factory=dict)
    """Types by status, in JSON. Without any, the one that the handler is annotated with."""
    media: Mapping[str, str] = field(default_factory=dict)
    """Other media types of the answer, and what is in them."""
    problems: tuple[int, ...] = ()
    """Statuses of problems beside those that follow from what the operation takes."""
    own_words: tuple[int, ...] = ()
    """Statuses that are answered in the words of the organization's contract, where it has some."""
    body: Any = None
    """The type of a body that the handler reads itself."""
    body_media: tuple[str, ...] = (JSON,)
    body_lines: tuple[str, ...] = ()
    """Media types that have a JSON value on each line."""
    example: Any = None
    """Of the body."""
    parameters: tuple[dict[str, Any], ...] = ()
    """Those that the handler reads itself: see `query_parameter`."""


def described(**what: Any) -> dict[str, Any]:
    """The `opt` of a handler that is described: see `Described`."""
    return {_DESCRIBED: Described(**what)}


def query_parameter(name: str, about: str, *, repeatable: bool = False, required: bool = False) -> dict[str, Any]:
    """A parameter of the query, in the document's own words."""
    text = {"type": "string"}
    schema = {"type": "array", "items": text} if repeatable else text
    return {"name": name, "in": "query", "description": about, "required": required, "schema": schema}


@dataclass(frozen=True, slots=True)
class _Operation:
    path: str
    method: str
    handler: HTTPRouteHandler
    described: Described

    @property
    def answers(self) -> Mapping[int, Any]:
        if self.described.answers or self.described.media:
            return self.described.answers
        annotation = self.handler.parsed_fn_signature.return_type.annotation
        if get_origin(annotation) is Response:
            [annotation] = get_args(annotation)
        return {} if annotation in (None, type(None)) else {self.handler.status_code: annotation}

    @property
    def body(self) -> Any:
        data = self.handler.parsed_fn_signature.parameters.get("data")
        return self.described.body if data is None else data.annotation

    @property
    def problems(self) -> Iterator[int]:
        if self.handler.security == []:
            return
        yield from _ALWAYS
        if "{" in self.path:
            yield 404
        if self.body is not None:
            yield from _WITH_BODY
        if self.method != "get":
            yield 507
        yield from self.described.problems


def own_openapi(app: Litestar) -> dict[str, Any]:
    """The OpenAPI 3.1 document of everything of our own that it includes."""
    document = app.openapi_schema.to_schema()
    operations = [*_operations(app)]
    asked = [operation.body for operation in operations if operation.body is not None]
    answered = [each for operation in operations for each in operation.answers.values()]
    requests, request_components = msgspec.json.schema_components(asked, ref_template=_REFERENCE)
    answers, components = msgspec.json.schema_components([*answered, Problem], ref_template=_REFERENCE)
    bodies, answer_schemas = iter(map(_as_asked, requests)), iter(map(as_on_the_wire, answers))
    for operation in operations:
        described = document["paths"][operation.path][operation.method]
        if operation.body is not None:
            schema = next(bodies)
            example = {} if operation.described.example is None else {"example": operation.described.example}
            content = {media: {"schema": schema, **example} for media in operation.described.body_media}
            content |= {media: {"schema": {"type": "string"}} for media in operation.described.body_lines}
            described["requestBody"] = {"content": content, "required": operation.described.example is not None}
        if operation.described.parameters:
            described["parameters"] = [*described.get("parameters", ()), *operation.described.parameters]
        described["responses"] = _responses(operation, answer_schemas)
    document["components"]["schemas"] = {**as_on_the_wire(components), **_as_asked(request_components)}
    return document


def _operations(app: Litestar) -> Iterator[_Operation]:
    for route in app.routes:
        if isinstance(route, HTTPRoute):
            for handler in route.route_handlers:
                if handler.resolve_include_in_schema():
                    opt = handler.opt.get(_DESCRIBED, Described())
                    for method in sorted(handler.http_methods):
                        yield _Operation(route.path_format, method.lower(), handler, opt)


def _responses(operation: _Operation, schemas: Iterator[Any]) -> dict[str, Any]:
    """Answers in JSON, then those that are something else, then problems."""
    contents: dict[int, dict[str, Any]] = {
        status: {PROBLEM_JSON if _is_problem(kind) else JSON: {"schema": next(schemas)}}
        for status, kind in operation.answers.items()
    }
    success = operation.handler.status_code
    for media, meaning in operation.described.media.items():
        contents.setdefault(success, {})[media] = {"schema": {"type": "string", "description": meaning}}
    contents.setdefault(success, {})
    problem = {"schema": {"$ref": _REFERENCE.format(name=Problem.__name__)}}
    for status in operation.problems:
        contents.setdefault(status, {})[PROBLEM_JSON] = problem
    for status in operation.described.own_words:
        contents.setdefault(status, {})[JSON] = {"schema": {}}
    return {
        str(status): {"description": HTTPStatus(status).phrase, **({"content": content} if content else {})}
        for status, content in sorted(contents.items())
    }


def _is_problem(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Problem)


def as_on_the_wire(schema: Any) -> Any:
    """The generator's schemas, but decimals are numbers, and what can only be one thing is a `const`."""
    return _mapped(schema, {"type": "number"})


def _as_asked(schema: Any) -> Any:
    """The same for what is asked: an amount may be a decimal string as well."""
    return _mapped(schema, {"anyOf": [{"type": "number"}, {"type": "string"}]})


def _mapped(schema: Any, decimal: Mapping[str, Any]) -> Any:
    if isinstance(schema, Sequence) and not isinstance(schema, str):
        return [_mapped(value, decimal) for value in schema]
    if isinstance(schema, Decimal):
        return int(schema) if schema == int(schema) else str(schema)
    if not isinstance(schema, dict):
        return schema
    mapped = {key: _mapped(value, decimal) for key, value in schema.items()}
    if mapped.get("format") == "decimal":
        del mapped["format"], mapped["type"]
        mapped |= decimal
    if len(mapped.get("enum", ())) == 1:
        [mapped["const"]] = mapped.pop("enum")
    return mapped

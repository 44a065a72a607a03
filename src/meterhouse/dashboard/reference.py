"""`/docs`: the reference of the API, made from its OpenAPI document. It needs no network, and no script to be read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
from litestar import Litestar, Response, Router, get

from ..contracts.contract import Contract
from ..http.openapi import JSON, own_openapi
from ..http.request import HttpRequest
from .pages import Pages, View


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter, or a member of a body."""

    name: str
    place: str
    type: str
    required: bool
    about: str
    repeatable: bool = False


@dataclass(frozen=True, slots=True)
class Operation:
    """An endpoint as it is shown."""

    id: str
    method: str
    path: str
    about: str
    parameters: list[Field]
    body: list[Field]
    example: str
    media: str
    answers: list[tuple[str, str, str]]
    """Status, what it is, and an example in JSON or ""."""
    needs_key: bool


class Reference:
    """The document, arranged for reading."""

    def __init__(self, document: dict[str, Any]):
        self._schemas: Mapping[str, Any] = document["components"]["schemas"]
        self._paths: Mapping[str, Any] = document["paths"]

    @cached_property
    def tags(self) -> dict[str, list[Operation]]:
        """Operations by tag."""
        found: dict[str, list[Operation]] = {}
        for path, item in sorted(self._paths.items()):
            for method, operation in item.items():
                found.setdefault(operation["tags"][0], []).append(self._operation(path, method, operation))
        return dict(sorted(found.items()))

    @cached_property
    def types(self) -> dict[str, tuple[str, list[Field]]]:
        """What each type of a body is, and its members."""
        return {
            name: (schema.get("description", ""), list(self._members(schema)))
            for name, schema in sorted(self._schemas.items())
        }

    def _operation(self, path: str, method: str, operation: dict[str, Any]) -> Operation:
        content = operation.get("requestBody", {}).get("content", {})
        body = content.get(JSON, {})
        example = body.get("example")
        return Operation(
            id=operation["operationId"],
            method=method.upper(),
            path=path,
            about=operation.get("description", ""),
            parameters=[self._parameter(each) for each in operation.get("parameters", ())],
            body=list(self._members(body.get("schema", {}))),
            example=_pretty(example) if example is not None else "",
            media=", ".join(content),
            answers=[self._answer(*each) for each in operation["responses"].items()],
            needs_key=operation.get("security") != [],
        )

    def _parameter(self, parameter: dict[str, Any]) -> Field:
        schema = parameter["schema"]
        repeatable = any(each.get("type") == "array" for each in (schema, *schema.get("oneOf", ())))
        about, required = parameter.get("description", ""), parameter.get("required", False)
        return Field(parameter["name"], parameter["in"], self._type(schema), required, about, repeatable)

    def _answer(self, status: str, answer: dict[str, Any]) -> tuple[str, str, str]:
        content = answer.get("content", {})
        about = f"{answer['description']} {', '.join(content)}".strip()
        schema = content.get(JSON, {}).get("schema")
        return status, about, _pretty(self._example(schema)) if schema else ""

    def _members(self, schema: dict[str, Any]) -> Iterator[Field]:
        schema = self._resolved(schema)
        for name, member in schema.get("properties", {}).items():
            about = self._resolved(member).get("description", "")
            yield Field(name, "body", self._type(member), name in schema.get("required", ()), about)

    def _resolved(self, schema: dict[str, Any]) -> dict[str, Any]:
        """Where there are alternatives, the first that is an object."""
        if "$ref" in schema:
            return self._resolved(self._schemas[schema["$ref"].rpartition("/")[2]])
        for alternatives in ("anyOf", "oneOf"):
            for each in schema.get(alternatives, ()):
                if "$ref" in each or each.get("type") == "object":
                    return self._resolved(each)
        return schema

    def _type(self, schema: dict[str, Any]) -> str:
        if "$ref" in schema:
            return str(schema["$ref"].rpartition("/")[2])
        for alternatives in ("anyOf", "oneOf"):
            if alternatives in schema:
                return " or ".join(dict.fromkeys(self._type(each) for each in schema[alternatives]))
        if "const" in schema:
            return f'"{schema["const"]}"'
        if schema.get("type") == "array":
            return f"list of {self._type(schema.get('items', {}))}"
        if isinstance(values := schema.get("additionalProperties"), dict):
            return f"object of {self._type(values)}"
        return str(schema.get("type", "any"))

    def _example(self, schema: dict[str, Any]) -> Any:
        """A value that has every member."""
        if "$ref" in schema:
            return self._example(self._schemas[schema["$ref"].rpartition("/")[2]])
        for alternatives in ("anyOf", "oneOf"):
            if alternatives in schema:
                there = [each for each in schema[alternatives] if each.get("type") != "null"]
                return self._example(there[0]) if there else None
        if "properties" in schema:
            return {name: self._example(member) for name, member in schema["properties"].items()}
        if schema.get("type") == "array":
            return [self._example(schema.get("items", {}))]
        if isinstance(values := schema.get("additionalProperties"), dict):
            return {"…": self._example(values)}
        return schema.get(
            "const", {"string": "…", "integer": 0, "number": 0, "boolean": True}.get(schema.get("type", ""))
        )


def _pretty(value: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


class ReferencePages:
    """The page; anybody may read it."""

    def __init__(self, pages: Pages, contracts: Mapping[str, Contract], version: str):
        self._pages = pages
        self._contracts = contracts
        self._version = version
        self._reference: Reference | None = None

    def router(self) -> Router:
        """The route."""

        @get("/docs", include_in_schema=False)
        async def reference(request: HttpRequest) -> Response[bytes]:
            return self._pages.render(self._view(request.app), *self._pages.looking(request))

        return Router("/", route_handlers=[reference])

    def _view(self, app: Litestar) -> View:
        if self._reference is None:
            self._reference = Reference(own_openapi(app))
        context = {"reference": self._reference, "contracts": self._contracts, "version": self._version}
        return View("reference.html", {**context, "section": "docs"})

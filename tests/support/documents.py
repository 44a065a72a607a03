"""Holds every answer on a contract's path to that contract's OpenAPI document, whichever test asked for it.

Judged are the status, the content type, the headers and the body, numbers as the exact text that they are. An answer
may leave nothing out that its document promises, and may say nothing that its document does not know.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from functools import cache
from typing import Any, NoReturn
from uuid import UUID

import httpx
from jsonschema import Draft202012Validator, FormatChecker, TypeChecker, validators
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator

from meterhouse.contracts import configured, installed
from meterhouse.http.documents import contract_openapi

NOT_ALLOWED = {"octolens": (404, None)}
"""Status and `Allow` of another method, where it is not 405 and GET; OpenAPI documents the methods that there are."""
_DATE_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_SHOWN_CHARACTERS = 300


class Undocumented(AssertionError):
    """An answer is not what its contract's document says."""


def _is_integer(_checker: TypeChecker, value: object) -> bool:
    return type(value) is int


def _is_number(_checker: TypeChecker, value: object) -> bool:
    return type(value) in (int, Decimal)


formats = FormatChecker(())


@formats.checks("date-time", raises=ValueError)
def is_date_time(value: object) -> bool:
    """Whether a text is an RFC 3339 date-time; anything but a text is no business of a format."""
    if not isinstance(value, str):
        return True
    return _DATE_TIME.fullmatch(value) is not None and datetime.fromisoformat(value[:19]) is not None


@formats.checks("date", raises=ValueError)
def is_date(value: object) -> bool:
    """Whether a text is an RFC 3339 full-date."""
    return not isinstance(value, str) or (_DATE.fullmatch(value) is not None and date.fromisoformat(value) is not None)


_Exact: type[Validator] = validators.extend(
    Draft202012Validator,
    type_checker=Draft202012Validator.TYPE_CHECKER.redefine_many({"integer": _is_integer, "number": _is_number}),
)


def read_json(content: bytes) -> Any:
    """The value of a JSON text, numbers exact. Raises `ValueError`, also for a name that an object has twice."""

    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) < len(pairs):
            raise ValueError(f"a name stands twice in one object: {[name for name, _ in pairs]}")
        return read

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON number")

    return json.loads(content.decode(), parse_float=Decimal, parse_constant=refuse, object_pairs_hook=once)


def validator(schema: Any, document: Mapping[str, Any]) -> Validator:
    """Validates against a schema of the document, in which objects have the documented properties only."""
    return _Exact({**_closed(schema), "components": _closed(document["components"])}, format_checker=formats)


def _closed(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_closed(value) for value in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: _closed(value) for name, value in schema.items()}
    # A property may itself be called `properties`; only a schema says that it is an object.
    if closed.get("type") == "object" and "properties" in closed:
        closed.setdefault("additionalProperties", False)
    return closed


@dataclass(frozen=True)
class DocumentedResponse:
    """What one status of an operation looks like; `headers` by lower-case name."""

    body: Validator
    headers: Mapping[str, Validator]


@dataclass(frozen=True)
class Operation:
    """The GET of a path of a contract."""

    contract: str
    path: str
    responses: Mapping[int, DocumentedResponse]
    error: Validator
    not_allowed: tuple[int, str | None]
    """Status and `Allow` of another method than GET."""

    def owns(self, path: str) -> bool:
        """Whether a request for that path is one for this operation."""
        wanted, given = self.path.split("/"), path.split("/")
        return len(wanted) == len(given) and all(
            part == there or (part.startswith("{") and there) for part, there in zip(wanted, given, strict=True)
        )


@dataclass(frozen=True)
class Documents:
    """The documents of all contracts, as a server with those settings has them."""

    operations: tuple[Operation, ...]

    def operation(self, path: str) -> Operation | None:
        """The operation that owns a path, None for paths of no contract."""
        return next((operation for operation in self.operations if operation.owns(path)), None)

    def check(self, method: str, path: str, status: int, headers: httpx.Headers, content: bytes) -> Operation | None:
        """Raises `Undocumented` for an answer that is not as documented; None says that no contract owns the path."""
        operation = self.operation(path)
        if operation is None:
            return None
        problems = list(_problems(operation, method, status, headers, content))
        if problems:
            asked = f"{method} {path} was answered {status}, not as the document of {operation.contract} says"
            shown = content[:_SHOWN_CHARACTERS].decode(errors="replace")
            raise Undocumented("\n  ".join([asked, *problems, f"the answer: {shown}"]))
        return operation

    def hook(self, response: httpx.Response) -> None:
        """For the event hooks of an httpx client."""
        response.read()
        self._check(response)

    async def async_hook(self, response: httpx.Response) -> None:
        """The same for an asynchronous one."""
        await response.aread()
        self._check(response)

    def _check(self, response: httpx.Response) -> None:
        request = response.request
        self.check(request.method, request.url.path, response.status_code, response.headers, response.content)


def documents_of(environment: Mapping[str, str] | None = None) -> Documents:
    """The documents of a server that is started with these variables beside those of this process."""
    variables = {**os.environ, **(environment or {})}
    return _documents(tuple(sorted(pair for pair in variables.items() if pair[0].startswith("METERHOUSE_"))))


@cache
def _documents(variables: tuple[tuple[str, str], ...]) -> Documents:
    operations = []
    for name, contract in installed().items():
        document = contract_openapi(configured(contract, dict(variables)), "0")
        error = validator({"$ref": f"#/components/schemas/{contract.error.__name__}"}, document)
        for path, item in document["paths"].items():
            responses = {
                int(status): DocumentedResponse(
                    validator(response["content"]["application/json"]["schema"], document),
                    {header.lower(): _Exact(said["schema"]) for header, said in response["headers"].items()},
                )
                for status, response in item["get"]["responses"].items()
            }
            operations.append(Operation(name, path, responses, error, NOT_ALLOWED.get(name, (405, "GET"))))
    return Documents(tuple(operations))


def _problems(operation: Operation, method: str, status: int, headers: httpx.Headers, content: bytes) -> Iterator[str]:
    if headers.get("content-type") != "application/json":
        yield f"the content type is {headers.get('content-type')!r}"
    try:
        UUID(headers["x-request-id"])
    except (KeyError, ValueError):
        yield f"x-request-id is {headers.get('x-request-id')!r}"
    if method == "GET":
        if status not in operation.responses:
            yield f"the status is none of {sorted(operation.responses)}"
            return
        response = operation.responses[status]
        yield from _header_problems(response, headers)
        yield from _body_problems(response.body, content)
    else:
        if (status, headers.get("allow")) != operation.not_allowed:
            yield f"it should be {operation.not_allowed}, not {headers.get('allow')!r}"
        if method != "HEAD":
            yield from _body_problems(operation.error, content)


def _header_problems(response: DocumentedResponse, headers: httpx.Headers) -> Iterator[str]:
    for name, schema in response.headers.items():
        text = headers.get(name)
        if text is None:
            yield f"the header {name} is missing"
            continue
        value = int(text) if re.fullmatch(r"-?\d+", text, re.ASCII) else text
        yield from (f"the header {name}: {error.message}" for error in schema.iter_errors(value))


def _body_problems(body: Validator, content: bytes) -> Iterator[str]:
    try:
        value = read_json(content)
    except ValueError as wrong:
        yield f"the body is no JSON: {wrong}"
        return
    for error in body.iter_errors(value):
        deepest = best_match([error])  # of alternatives, the one that the value comes closest to
        yield f"{deepest.json_path}: {deepest.message[:_SHOWN_CHARACTERS]}"

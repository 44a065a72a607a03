"""OpenAPI documents: Meterhouse's own, and one for each contract."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

import msgspec
from litestar import MediaType, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath

from ..contracts.contract import Contract, Refusal, Refused, Request, Route
from .bodies import encode_body
from .openapi import as_on_the_wire, own_openapi
from .request import HttpRequest

_EXAMPLE_MOMENT = datetime(2026, 3, 15, 12, tzinfo=UTC)


def openapi_config(version: str) -> OpenAPIConfig:
    """Meterhouse's own document at `/openapi.json`."""
    return OpenAPIConfig(
        title="Meterhouse",
        version=version,
        description="Meters what organizations use. Errors are RFC 9457 problem details.",
        path="/openapi.json",
        render_plugins=[OwnDocument()],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={
                "bearer": SecurityScheme(
                    type="http", scheme="bearer", description="The admin key, or an organization's key."
                )
            }
        ),
        security=[{"bearer": []}],
    )


class OwnDocument(OpenAPIRenderPlugin):
    """Gives the document itself: the page about it is the dashboard's."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.JSON)
        self._content: bytes | None = None

    def render(self, request: HttpRequest, openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002 - the base's signature
        """The document."""
        if self._content is None:  # it takes a third of a second, and is the same every time
            self._content = msgspec.json.encode(own_openapi(request.app))
        return self._content


def documents_router(version: str, contracts: Mapping[str, Contract]) -> Router:
    """The OpenAPI documents of the contracts."""

    @get("/docs/contracts/{name:str}", include_in_schema=False)
    async def contract_document(name: FromPath[str]) -> Response[bytes]:
        if name not in contracts:
            raise NotFoundException(f"no contract {name[:60]!r}; there is {', '.join(contracts)}")
        return Response(msgspec.json.encode(contract_openapi(contracts[name], version)), media_type="application/json")

    return Router("/", route_handlers=[contract_document])


def contract_openapi(contract: Contract, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a contract, made from the types and by the functions that its answers are made by."""
    types = [*(route.response for route in contract.routes), contract.error]
    references, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    *bodies, error = references
    paths = {
        path: {
            "get": {
                "operationId": route.operation_id + ("_alias" if alias else ""),
                "summary": route.summary,
                "parameters": list(route.parameters),
                "security": [{name: []} for name in contract.security],
                "responses": _responses(contract, route, body, error),
                **({"x-required-scope": route.scope} if route.scope else {}),
            }
        }
        for route, body in zip(contract.routes, bodies, strict=True)
        for alias, path in enumerate(route.paths)
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": contract.title, "version": version, "description": f"After: {contract.source}."},
        "paths": paths,
        "components": {"schemas": as_on_the_wire(components), "securitySchemes": dict(contract.security)},
    }


_EVERYWHERE = (
    Refusal.NO_CREDENTIAL,
    Refusal.BAD_CREDENTIAL,
    Refusal.FORBIDDEN,
    Refusal.ORGANIZATION_GONE,
    Refusal.RATE_LIMITED,
    Refusal.INTERNAL,
)
_HEADERS = {
    "X-RateLimit-Limit": "Requests per hour.",
    "X-RateLimit-Remaining": "Requests left in this hour.",
    "X-RateLimit-Reset": "When the next hour begins, in seconds since 1970.",
}
_RETRY_AFTER = {"Retry-After": "Seconds to wait."}


def _responses(contract: Contract, route: Route, body: Any, error: Any) -> dict[str, Any]:
    """By status: the answer, and each refusal with the very words it is made in."""
    limit = _HEADERS if contract.options.requests_per_hour else {}
    responses = {"200": _response(route.summary, body, limit, {"example": route.example})}
    for refusal in (*_EVERYWHERE, *route.refusals):
        request = Request({}, {}, {}, "5b0c3c5e-6f0e-4e0e-9d1b-0e1a2b3c4d5e", _EXAMPLE_MOMENT, contract.options)
        refused = Refused(refusal, "timezone", "…") if refusal is Refusal.INVALID else Refused(refusal)
        answer = contract.refuse(request, refused)
        headers = {**limit, **_RETRY_AFTER} if refusal is Refusal.RATE_LIMITED else {}
        description = HTTPStatus(answer.status).phrase
        response = responses.setdefault(str(answer.status), _response(description, error, headers, {"examples": {}}))
        examples = response["content"]["application/json"]["examples"]
        examples[refusal.name.lower()] = {"value": _as_json(answer.body)}
    return responses


def _response(description: str, schema: Any, headers: Mapping[str, str], examples: dict[str, Any]) -> dict[str, Any]:
    content = {"schema": schema, **{name: _as_json(value) for name, value in examples.items()}}
    described = {name: {"description": text, "schema": {"type": "integer"}} for name, text in headers.items()}
    return {"description": description, "content": {"application/json": content}, "headers": described}


def _as_json(value: object) -> Any:
    return msgspec.json.decode(encode_body(value))

"""OpenAPI documents and the page that lists them. The page loads nothing from anywhere else."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

import msgspec
from litestar import MediaType, Response, Router, get
from litestar.exceptions import NotFoundException
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.plugins import OpenAPIRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme
from litestar.params import FromPath
from litestar.response import Redirect

from ..contracts.contract import Contract
from .request import HttpRequest

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#1a1a1a}"
    "code{background:#f2f2f2;padding:.1rem .3rem;border-radius:.2rem}td,th{text-align:left;padding:.3rem .8rem .3rem 0;"
    "vertical-align:top;border-bottom:1px solid #e5e5e5}table{border-collapse:collapse;width:100%}"
)


def openapi_config(version: str, contracts: Mapping[str, Contract]) -> OpenAPIConfig:
    """Meterhouse's own document at `/openapi.json`, readable at `/docs`."""
    return OpenAPIConfig(
        title="Meterhouse",
        version=version,
        description="Meters what organizations use. Errors are RFC 9457 problem details.",
        path="/docs",
        render_plugins=[DocsPage(contracts)],
        use_handler_docstrings=True,
        components=Components(
            security_schemes={"bearer": SecurityScheme(type="http", scheme="bearer", description="The admin key.")}
        ),
        security=[{"bearer": []}],
    )


class DocsPage(OpenAPIRenderPlugin):
    """Every operation in one table, and the contracts' documents below."""

    def __init__(self, contracts: Mapping[str, Contract]):
        super().__init__(path="/", media_type=MediaType.HTML)
        self._contracts = contracts

    def render(self, request: HttpRequest, openapi_schema: dict[str, Any]) -> bytes:  # noqa: ARG002 - the base's signature
        """The page."""
        rows = "".join(
            f"<tr><td><code>{method.upper()}</code></td><td><code>{escape(path)}</code></td>"
            f"<td>{escape(operation.get('description') or operation.get('summary') or '')}</td></tr>"
            for path, item in sorted(openapi_schema["paths"].items())
            for method, operation in item.items()
            if isinstance(operation, dict)
        )
        contract_rows = "".join(
            f"<tr><td><a href='/docs/contracts/{name}'>{escape(contract.title)}</a></td><td>"
            + "<br>".join(f"<code>GET {escape(path)}</code>" for route in contract.routes for path in route.paths)
            + "</td></tr>"
            for name, contract in self._contracts.items()
        )
        return (
            f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Meterhouse API</title><style>{_STYLE}</style>"
            "<h1>Meterhouse API</h1><p>The OpenAPI document: <a href='/openapi.json'>/openapi.json</a></p>"
            f"<table>{rows}</table><h2>Contracts</h2><table>{contract_rows}</table></html>"
        ).encode()


def documents_router(version: str, contracts: Mapping[str, Contract]) -> Router:
    """Meterhouse's own OpenAPI document, one per contract, and the way to the page about them."""

    @get("/", include_in_schema=False)
    async def root() -> Redirect:
        return Redirect("/docs")

    @get("/openapi.json", include_in_schema=False)
    async def own_document(request: HttpRequest) -> Response[bytes]:
        return Response(msgspec.json.encode(request.app.openapi_schema.to_schema()), media_type="application/json")

    @get("/docs/contracts/{name:str}", include_in_schema=False)
    async def contract_document(name: FromPath[str]) -> Response[bytes]:
        if name not in contracts:
            raise NotFoundException(f"no contract {name[:60]!r}; there is {', '.join(contracts)}")
        return Response(msgspec.json.encode(contract_openapi(contracts[name], version)), media_type="application/json")

    return Router("/", route_handlers=[root, own_document, contract_document])


def contract_openapi(contract: Contract, version: str) -> dict[str, Any]:
    """The OpenAPI 3.1 document of a contract, made from the types its answers are made of."""
    types = [*(route.response for route in contract.routes), contract.error]
    references, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    error = {"description": "Refused", "content": {"application/json": {"schema": references[-1]}}}
    paths = {
        path: {
            "get": {
                "operationId": f"{contract.name}_{route.handle.__name__}" + (f"_alias{alias}" if alias else ""),
                "summary": route.summary,
                "parameters": list(route.parameters),
                "security": [{name: []} for name in contract.security],
                "responses": {
                    "200": {"description": "Usage", "content": {"application/json": {"schema": reference}}},
                    "401": error,
                    "default": error,
                },
                **({"x-required-scope": route.scope} if route.scope else {}),
            }
        }
        for route, reference in zip(contract.routes, references, strict=False)
        for alias, path in enumerate(route.paths)
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": contract.title, "version": version, "description": f"After: {contract.source}."},
        "paths": paths,
        "components": {"schemas": _with_numbers(components), "securitySchemes": dict(contract.security)},
    }


def _with_numbers(schema: Any) -> Any:
    """Decimals are numbers on the wire; the generator believes that they are strings."""
    if isinstance(schema, dict):
        if schema.get("format") == "decimal":
            return {**{key: value for key, value in schema.items() if key != "format"}, "type": "number"}
        return {key: _with_numbers(value) for key, value in schema.items()}
    return [_with_numbers(value) for value in schema] if isinstance(schema, list) else schema

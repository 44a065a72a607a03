"""Mounting contracts: from an HTTP request to the contract's answer, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec
import structlog
from litestar import Response, Router, get
from litestar.handlers import HTTPRouteHandler

from ..contracts import contract as shape
from ..contracts.contract import Answer, Contract, Refusal, Refused, Route
from ..ports import Clock
from ..services.accounts import Accounts, Caller
from ..services.catalogs import Catalogs
from ..services.usage import Usage
from .request import HttpRequest

_log = structlog.get_logger(__name__)
_encoder = msgspec.json.Encoder(decimal_format="number")


@dataclass(frozen=True, slots=True)
class ContractEndpoints:
    """Answers requests in the shape of the contract whose path they hit."""

    contracts: Mapping[str, Contract]
    accounts: Accounts
    catalogs: Catalogs
    usage: Usage
    clock: Clock

    def router(self) -> Router:
        """Every path of every contract."""
        handlers = [
            self._handler(contract, route, path)
            for contract in self.contracts.values()
            for route in contract.routes
            for path in route.paths
        ]
        return Router("/", route_handlers=handlers, include_in_schema=False)

    def _handler(self, contract: Contract, route: Route, path: str) -> HTTPRouteHandler:
        @get(path.replace("}", ":str}"), name=f"{contract.name} {path}")
        async def handler(request: HttpRequest) -> Response[bytes]:
            return await asyncio.to_thread(self.answer, contract, route, request)

        return handler

    def answer(self, contract: Contract, route: Route, http_request: HttpRequest) -> Response[bytes]:
        """Authenticates and answers; a failure of ours becomes the contract's own internal error."""
        request = self._request(http_request)
        try:
            caller = self._caller(contract, route, request)
            answer = route.handle(request, caller.key, self.usage.of(caller.organization))
        except Refused as refused:
            answer = contract.refuse(request, refused)
        except Exception as failure:  # noqa: BLE001 - the boundary: everything unforeseen ends here
            _log.error("unexpected error", contract=contract.name, exc_info=failure)
            answer = contract.refuse(request, Refused(Refusal.INTERNAL))
        return _response(answer)

    def refuse_unrouted(self, path: str, http_request: HttpRequest, refusal: Refusal) -> Response[bytes] | None:
        """The refusal in the shape of the contract that owns a path; None for paths of no contract."""
        for contract in self.contracts.values():
            for route in contract.routes:
                if any(_matches(template, path) for template in route.paths):
                    return _response(contract.refuse(self._request(http_request), Refused(refusal)))
        return None

    def _caller(self, contract: Contract, route: Route, request: shape.Request) -> Caller:
        secret = contract.credential(request.headers)
        if secret is None:
            raise Refused(Refusal.NO_CREDENTIAL)
        namespaces = [catalog.namespace for catalog in self.catalogs if catalog.contract == contract.name]
        caller = self.accounts.resolve(secret, namespaces)
        if caller is None:
            raise Refused(Refusal.BAD_CREDENTIAL)
        if caller.organization.deleted_at is not None:
            raise Refused(Refusal.ORGANIZATION_GONE)
        if not contract.may_read(caller.key, route):
            raise Refused(Refusal.FORBIDDEN)
        return caller

    def _request(self, request: HttpRequest) -> shape.Request:
        return shape.Request(
            path_parameters=request.path_params,
            query={name: values[0] for name, values in request.query_params.dict().items()},
            headers={name.lower(): value for name, value in request.headers.items()},
            request_id=request.state.request_id,
            now=self.clock.now(),
        )


def _response(answer: Answer) -> Response[bytes]:
    content = _encoder.encode(answer.body)
    return Response(content, status_code=answer.status, media_type="application/json", headers=dict(answer.headers))


def _matches(template: str, path: str) -> bool:
    wanted, given = template.split("/"), path.rstrip("/").split("/")
    return len(wanted) == len(given) and all(
        part.startswith("{") or part == there for part, there in zip(wanted, given, strict=True)
    )

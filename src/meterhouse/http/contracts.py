"""Mounting contracts: from an HTTP request to the contract's answer, whatever happens in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from litestar import Response, Router, route
from litestar.handlers import HTTPRouteHandler
from litestar.types import Method

from ..contracts import contract as shape
from ..contracts.contract import Answer, Contract, Refusal, Refused, Route
from ..domain.errors import InsufficientStorage, StorageDamaged, TooManyGroups
from ..domain.organization import Caller
from ..domain.period import earliest
from ..domain.shards import Elsewhere
from ..ports.clock import Clock
from ..services.accounts import Accounts
from ..services.balances import next_change
from ..services.catalogs import Catalogs
from ..services.migration import Resting
from ..services.rate_limits import Allowance, RateLimits
from ..services.usage import Usage
from .bodies import encode_body
from .observability import Metrics
from .query import READS_QUERY
from .request import HttpRequest
from .response_cache import CachedResponse, ResponseCache, encoded, enveloped

_METHODS: list[Method] = ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"]

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ContractEndpoints:
    """Answers requests in the shape of the contract whose path they hit."""

    contracts: Mapping[str, Contract]
    accounts: Accounts
    catalogs: Catalogs
    usage: Usage
    rate_limits: RateLimits
    verifiers: Mapping[str, Callable[[str], Mapping[str, Any] | None]]
    """By contract: the claims of a valid token, None for anything else."""
    clock: Clock
    answers: ResponseCache
    metrics: Metrics

    def router(self) -> Router:
        """Every path of every contract."""
        handlers = [
            self._handler(contract, operation, path)
            for contract in self.contracts.values()
            for operation in contract.routes
            for path in operation.paths
        ]
        return Router("/", route_handlers=handlers, include_in_schema=False)

    def _handler(self, contract: Contract, operation: Route, path: str) -> HTTPRouteHandler:
        # Every method comes here: left to the framework, OPTIONS would be answered in no contract's shape.
        @route(
            path.replace("}", ":str}"),
            http_method=_METHODS,
            name=f"{contract.name} {path}",
            status_code=200,
            opt=READS_QUERY,
        )
        async def handler(request: HttpRequest) -> Response[bytes]:
            if not _is_canonical(path, request):
                return self._refuse_early(contract, request, Refusal.NOT_FOUND)
            if request.method != "GET":
                return self._refuse_early(contract, request, Refusal.METHOD_NOT_ALLOWED)
            return await asyncio.to_thread(self.answer, contract, operation, request)

        return handler

    def answer(self, contract: Contract, operation: Route, http_request: HttpRequest) -> Response[bytes]:
        """Authenticates and answers; a failure of ours becomes the contract's own internal error."""
        now = self.clock.now()
        request = _request(contract, http_request, now)
        allowance: Allowance | None = None
        try:
            key = self.answers.key(http_request.scope)
            kept = self.answers.find(key, now)
            change = self.accounts.ledger.changes()  # before anything is read there
            caller = self._caller(contract, operation, request) if kept is None else kept.caller
            organization, limit = caller.organization, contract.options.requests_per_hour
            if limit:
                allowance = self.rate_limits.peek(organization.id, limit, now)
                if not allowance.remaining:
                    raise Refused(Refusal.RATE_LIMITED)
            if kept is None:
                usage = self.usage.of(organization)
                answer = encoded(operation.handle(request, caller, usage))
                if answer.valid_until is not None and caller.key_id is not None:  # a token is verified every time
                    until = earliest(answer.valid_until, caller.expires_at, usage.period().end, next_change(usage))
                    path = http_request.scope["path_template"]
                    self.answers.keep(
                        key, CachedResponse(answer, path, limit > 0, caller, usage.commit, change, usage.now, until)
                    )
            else:
                answer = kept.answer
            # Counted when it is answered, so that what is refused or fails uses up nothing.
            if limit and (allowance := self.rate_limits.consume(organization.id, limit, now)) is None:
                allowance = self.rate_limits.peek(organization.id, limit, now)
                raise Refused(Refusal.RATE_LIMITED)
            self.metrics.answers.labels("made" if kept is None else "cache").inc()
            return response_of(enveloped(answer, request.request_id, now), allowance)
        except Refused as refused:
            return _refuse(contract, request, refused, allowance)
        except (Elsewhere, Resting):
            raise
        except TooManyGroups as many:
            return _refuse(contract, request, Refused(Refusal.INVALID, "range", str(many)))
        except (InsufficientStorage, StorageDamaged) as ours:
            _log.error("the operator has to see to the storage", contract=contract.name, reason=str(ours))
            return _refuse(contract, request, Refused(Refusal.INTERNAL))
        except Exception as failure:  # noqa: BLE001 - the boundary: everything unforeseen ends here
            _log.error("unexpected error", contract=contract.name, exc_info=failure)
            return _refuse(contract, request, Refused(Refusal.INTERNAL))

    def refuse_unrouted(self, path: str, http_request: HttpRequest, refusal: Refusal) -> Response[bytes] | None:
        """The refusal in the shape of the contract that owns a path; None for paths of no contract."""
        contract = self.owner(path)
        return None if contract is None else self._refuse_early(contract, http_request, refusal)

    def owner(self, path: str) -> Contract | None:
        """The contract at whose path, or below or near it, a path is; None for paths of no contract."""
        for contract in self.contracts.values():
            if any(_is_near(template, path) for operation in contract.routes for template in operation.paths):
                return contract
        return None

    def _refuse_early(self, contract: Contract, request: HttpRequest, refusal: Refusal) -> Response[bytes]:
        return _refuse(contract, _request(contract, request, self.clock.now()), Refused(refusal))

    def _caller(self, contract: Contract, operation: Route, request: shape.Request) -> Caller:
        secret = contract.credential(request.headers)
        if secret is None:
            raise Refused(Refusal.NO_CREDENTIAL)
        namespaces = [catalog.namespace for catalog in self.catalogs if catalog.contract == contract.name]
        caller = self.accounts.resolve(secret, namespaces) or self._token_caller(contract, secret, namespaces)
        if caller is None:
            raise Refused(Refusal.BAD_CREDENTIAL)
        if caller.organization.deleted_at is not None:
            raise Refused(Refusal.ORGANIZATION_GONE)
        if not contract.may_read(caller, operation):
            raise Refused(Refusal.FORBIDDEN)
        return caller

    def _token_caller(self, contract: Contract, secret: str, namespaces: list[str]) -> Caller | None:
        """Who a token speaks for, where the contract takes tokens."""
        verify = self.verifiers.get(contract.name)
        if verify is None or contract.identity is None:
            return None
        claims = verify(secret)
        if claims is None:
            return None
        identity = contract.identity(claims)
        organization = self.accounts.organization_in(identity.organization, namespaces)
        if organization is None:
            raise Refused(Refusal.ORGANIZATION_GONE)
        return Caller(organization, identity.scopes, identity.user_id, None)


def _request(contract: Contract, request: HttpRequest, now: datetime) -> shape.Request:
    seen, headers = contract.headers, dict[str, str]()
    for name, value in request.headers.multi_items():
        key = name.lower()
        if key in seen:
            headers[key] = f"{headers[key]}, {value}" if key in headers else value
    return shape.Request(
        path_parameters=request.path_params,
        query={name: tuple(values) for name, values in request.query_params.dict().items()},
        headers=headers,
        request_id=request.state.request_id,
        now=now,
        options=contract.options,
    )


def _refuse(
    contract: Contract, request: shape.Request, refused: Refused, allowance: Allowance | None = None
) -> Response[bytes]:
    limited = refused.refusal is Refusal.RATE_LIMITED
    response = response_of(contract.refuse(request, refused), allowance if limited else None)
    if response.status_code == 405:
        response.headers["allow"] = "GET"
    if limited and allowance is not None:
        wait = allowance.resets_at - request.now
        response.headers["retry-after"] = str(-(-wait // timedelta(seconds=1)))
    return response


def response_of(answer: Answer, allowance: Allowance | None = None) -> Response[bytes]:
    """A contract's answer on the wire, with what is left of the hourly limit where there is one."""
    headers = dict(answer.headers)
    if allowance is not None:
        headers["x-ratelimit-limit"] = str(allowance.limit)
        headers["x-ratelimit-remaining"] = str(allowance.remaining)
        headers["x-ratelimit-reset"] = str(int(allowance.resets_at.timestamp()))
    return Response(encode_body(answer.body), status_code=answer.status, media_type="application/json", headers=headers)


def _is_near(template: str, path: str) -> bool:
    """Whether a path begins as the template does up to its first parameter, however its slashes are repeated."""
    wanted = [part for part in template.partition("{")[0].split("/") if part]
    return [part for part in path.split("/") if part][: len(wanted)] == wanted


def _is_canonical(template: str, request: HttpRequest) -> bool:
    """Whether a path that was routed to the template has exactly its slashes: none encoded, repeated or at the end."""
    raw = request.scope.get("raw_path") or request.scope["path"].encode()
    path = raw.partition(b"?")[0]
    parts = path.split(b"/")
    return len(parts) == template.count("/") + 1 and all(parts[1:]) and b"%2f" not in path.lower()

"""Mounting contracts of namespaces: from an HTTP request to the contract's answer, whatever happens in between.

They stand before the router: their paths are told apart as they were sent, so that a name may have a slash, encoded.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import parse_qsl, unquote

import structlog
from litestar.enums import ScopeType
from litestar.exceptions import HTTPException
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from ..contracts.namespace_contract import (
    Call,
    Failure,
    Ingestion,
    NamespaceContract,
    Operation,
    Refuse,
    Reply,
    Services,
)
from ..domain.errors import MeterhouseError, Unavailable
from ..domain.operator_key import Operator
from ..domain.shards import Elsewhere
from ..ports.clock import Clock
from ..services.ingest import Body, Report
from .authentication import Authentication, begin_act
from .bodies import Bodies, encode_body
from .events import IngestEndpoint
from .problems import BODY_NOT_COMPLETE, BODY_TOO_LARGE, TooLarge, described_error
from .slow_bodies import TooSlow

_READING = ("GET", "HEAD")
_MOST_PARAMETERS = 1_000
_TOLD = ("ingested", "duplicates", "conflicts", "rejected", "unmatched")
"""What a header says of the events of a request: clients that do not know it pass over it."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Found:
    """What a path leads to."""

    contract: NamespaceContract
    operation: Operation | None
    """None where there is none of this method, or no such path."""
    parameters: Mapping[str, str]
    others: bool = False
    """Whether there is the path, with another method."""


class _Paths:
    """The paths of a contract."""

    def __init__(self, contract: NamespaceContract):
        self.contract = contract
        # Names stand for themselves before they are a parameter.
        ordered = sorted(contract.operations, key=lambda each: each.path.count("{"))
        self._operations = [(operation, operation.path.split("/")[1:]) for operation in ordered]

    def find(self, method: str, segments: Sequence[str]) -> _Found | None:
        """What a path leads to; None where it is no path of the contract."""
        others = False
        for operation, template in self._operations:
            if len(template) != len(segments) or not all(map(_fits, template, segments)):
                continue
            if operation.method == method:
                named = zip(template, segments, strict=True)
                return _Found(self.contract, operation, {name[1:-1]: text for name, text in named if name[:1] == "{"})
            others = True
        return _Found(self.contract, None, {}, others=True) if others else None


class NamespaceContracts:
    """Answers requests in the shape of the contract whose path they hit, and hands on all others."""

    def __init__(
        self,
        app: ASGIApp,
        contracts: Sequence[NamespaceContract],
        services: Services,
        *,
        authentication: Authentication,
        bodies: Bodies,
        ingest: IngestEndpoint,
        clock: Clock,
    ):
        self._app = app
        self._services = services
        self._authentication = authentication
        self._bodies = bodies
        self._ingest = ingest
        self._clock = clock
        self._contracts = {contract.name: _Paths(contract) for contract in contracts}
        self._at_root = [self._contracts[contract.name] for contract in contracts if contract.options.at_root]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        found = self._find(scope) if scope["type"] == ScopeType.HTTP else None
        if found is None or scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        contract, operation = found.contract, found.operation
        scope["path_template"] = contract.prefix + (operation.path if operation is not None else "")
        headers: Mapping[str, str] = {}
        try:
            reply = await self._answered(found, scope, receive)
        except Refuse as refused:
            reply = _refused(contract, scope, refused, headers)
        except TooSlow:
            raise
        except Elsewhere as elsewhere:
            scope["state"]["elsewhere"] = elsewhere.shard  # see `Forwarding`, which then sends nothing of the reply
            status, detail, headers = described_error(Unavailable(f"{elsewhere}, and not here: send this again"))
            reply = _refused(contract, scope, Refuse(status, detail), headers)
        except MeterhouseError as error:
            status, detail, headers = described_error(error)
            reply = _refused(contract, scope, Refuse(status, detail, error.code), headers)
        except HTTPException as error:
            reply = _refused(contract, scope, Refuse(error.status_code, error.detail), error.headers or {})
        except Exception as failure:  # noqa: BLE001 - the boundary: everything unforeseen ends here
            _log.error("unexpected error", contract=contract.name, exc_info=failure)
            told = "something went wrong; the log has more under this request id"
            reply = _refused(contract, scope, Refuse(500, told, "internal_error"), headers)
        always = operation.headers if operation is not None else {}
        await _send(replace(reply, headers={**always, **reply.headers}), send)

    def _find(self, scope: HTTPScope) -> _Found | None:
        raw = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
        segments = [unquote(segment) for segment in raw.decode(errors="replace").split("/")[1:]]
        if (below := self._contracts.get(segments[0] if segments else "")) is not None:
            return below.find(scope["method"], segments[1:]) or _Found(below.contract, None, {})
        found = (each.find(scope["method"], segments) for each in self._at_root)
        return next((each for each in found if each is not None), None)

    async def _answered(self, found: _Found, scope: HTTPScope, receive: Receive) -> Reply:
        contract, operation = found.contract, found.operation
        if operation is None:
            if found.others:
                raise Refuse(405, f"{scope['method']} is no method of this path")
            raise Refuse(404, "there is no such path in this contract")
        headers = _headers(scope)
        secret = contract.credential(headers) if operation.role is not None else ""
        if secret is None:
            raise Refuse(401, "send the header 'Authorization: Bearer <key>'")
        now = self._clock.now()
        namespace, organization = await asyncio.to_thread(self._admitted, operation, secret, scope)
        operator: Operator | None = scope["state"].get("operator")
        if operator is not None and scope["method"] not in _READING:
            begin_act(scope, operator, f"{contract.name} {operation.method} {operation.path}", self._clock)
        query = _query(scope)
        stream = _nothing() if scope["method"] in _READING else self._received(receive)
        async with self._bodies.decoding(stream, headers.get("content-encoding", "identity")) as body:
            call = Call(
                namespace=namespace,
                actor=operator.name if operator is not None else "",
                organization=organization,
                secret=secret,
                parameters=found.parameters,
                query=query,
                headers=headers,
                body=body,
                request_id=scope["state"]["request_id"],
                now=now,
            )
            asked = await asyncio.to_thread(operation.handle, call, self._of(contract))
            if isinstance(asked, Reply):
                return asked
            content = b"[" + b",".join(asked.events) + b"]"
            events = Body(namespace, content, lines=False, organization=None, keeps_unreadable=True)
            pending = await self._ingest.submit(events)
        return await self._stored(asked, namespace, pending)

    async def _stored(self, asked: Ingestion, namespace: str, pending: asyncio.Future[Report]) -> Reply:
        [report] = await self._ingest.stored(namespace, [pending])
        reply = asked.reply(report)
        told = "; ".join(f"{name}={getattr(report, name)}" for name in _TOLD)
        return replace(reply, headers={**reply.headers, "meterhouse-ingest": told})

    def _of(self, contract: NamespaceContract) -> Services:
        """What a contract may ask for."""
        return replace(self._services, options=contract.options)

    def _admitted(self, operation: Operation, secret: str, scope: HTTPScope) -> tuple[str, str | None]:
        """The namespace that a request is for, and the organization whose key it is, if it is one's."""
        if operation.role is None:
            return "", None
        if operation.guest is None:
            taken = operation.of_organizations
            return self._authentication.namespace_of(secret, scope, operation.role, of_organizations=taken)
        namespace = operation.guest(secret, self._services, self._clock.now())
        if namespace is None:
            raise Refuse(401, "this token is not valid, or its time is over")
        return namespace, None

    async def _received(self, receive: Receive) -> AsyncIterator[bytes]:
        size = 0
        while True:
            message = await receive()
            if message["type"] != "http.request":
                raise Refuse(400, BODY_NOT_COMPLETE)
            size += len(message["body"])
            if size > self._bodies.max_body_bytes:
                raise TooLarge(BODY_TOO_LARGE)
            yield message["body"]
            if not message["more_body"]:
                return


def _refused(contract: NamespaceContract, scope: HTTPScope, refused: Refuse, headers: Mapping[str, str]) -> Reply:
    failure = Failure(refused.status, refused.code, refused.message, scope["state"]["request_id"], refused.details)
    reply = contract.refuse(failure)
    return replace(reply, headers={**headers, **reply.headers})


def _fits(wanted: str, segment: str) -> bool:
    return bool(segment) if wanted[:1] == "{" else wanted == segment


async def _nothing() -> AsyncIterator[bytes]:
    """The body of a request that is not to have one."""
    yield b""


def _query(scope: HTTPScope) -> tuple[tuple[str, str], ...]:
    """The parameters of a query. Raises `Refuse`."""
    text = scope["query_string"].decode(errors="replace")
    try:
        return tuple(parse_qsl(text, keep_blank_values=True, max_num_fields=_MOST_PARAMETERS))
    except ValueError:
        raise Refuse(400, f"the query has more than {_MOST_PARAMETERS:,} parameters: ask for less at a time") from None


def _headers(scope: HTTPScope) -> dict[str, str]:
    headers: dict[str, str] = {}
    for name, value in scope["headers"]:
        key, text = name.decode("latin-1").lower(), value.decode("latin-1")
        headers[key] = f"{headers[key]}, {text}" if key in headers else text
    return headers


async def _send(reply: Reply, send: Send) -> None:
    content = b"" if reply.body is None else reply.body if isinstance(reply.body, bytes) else encode_body(reply.body)
    headers = [(name.encode(), value.encode("latin-1", "replace")) for name, value in reply.headers.items()]
    if reply.body is not None:
        headers.append((b"content-type", reply.media_type.encode()))
    if reply.status != 204:
        headers.append((b"content-length", str(len(content)).encode()))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": content, "more_body": False})

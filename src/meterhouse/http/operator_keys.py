"""Operator keys, and the audit log of what was done with them."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Annotated

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, JSONBody, Parameter

from ..domain.audit import AuditEntry, AuditQuery
from ..domain.operator_key import OperatorKey, Role
from ..domain.period import format_instant
from ..domain.query_parameters import instant_of
from ..ports.audit_log import AuditLog
from ..services.operators import LONGEST_OVERLAP, OperatorKeyDraft, Operators
from .authentication import Authentication, operator_of
from .bodies import json_response
from .openapi import described
from .periods import written
from .request import HttpRequest

_MOST_ENTRIES = 1_000
_Overlap = Annotated[int, msgspec.Meta(ge=0, le=LONGEST_OVERLAP // timedelta(seconds=1))]


class NewOperatorKey(msgspec.Struct, forbid_unknown_fields=True):
    """A key for somebody, or something, that operates the server. `namespace` is for the roles `ingest` and
    `namespace`, which need it."""

    name: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
    role: Role
    namespace: str | None = None
    expires_at: str | None = None


class OperatorKeyBody(msgspec.Struct):
    """A key, without its secret."""

    id: str
    name: str
    role: Role
    namespace: str | None
    prefix: str
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None


class CreatedOperatorKey(OperatorKeyBody):
    """A new key; `key` is the secret and is shown this once."""

    key: str


class OperatorKeyRotation(msgspec.Struct, forbid_unknown_fields=True):
    """For how long the key that is replaced stays good."""

    overlap_seconds: _Overlap = 0


class AuditEntryBody(msgspec.Struct):
    """A change: `actor` is the name of the key that it was made with, `action` the operation, `about` what was
    changed."""

    number: int
    at: str
    actor: str
    address: str
    request_id: str
    action: str
    namespace: str | None
    organization: str | None
    about: dict[str, str]


def operator_keys_router(operators: Operators, audit_log: AuditLog, authentication: Authentication) -> Router:
    """The routes, closed over what they need."""

    @post(
        "/v1/operator-keys",
        operation_id="createOperatorKey",
        tags=["Operator keys"],
        opt=described(answers={201: CreatedOperatorKey}, problems=(404,), example={"name": "ada", "role": "operate"}),
    )
    async def create_key(request: HttpRequest, data: JSONBody[NewOperatorKey]) -> Response[bytes]:
        """Makes a key with a role. The secret is shown this once."""
        expires_at = None if data.expires_at is None else instant_of("expires_at", data.expires_at)
        draft = OperatorKeyDraft(data.name, data.role, data.namespace, expires_at)
        made = await asyncio.to_thread(operators.create, draft, operator_of(request.scope).name)
        return _created(*made)

    @get("/v1/operator-keys", operation_id="listOperatorKeys", tags=["Operator keys"])
    async def list_keys() -> list[OperatorKeyBody]:
        """All operator keys, without their secrets, the oldest first; those that have ended included."""
        return [_key(key) for key in await asyncio.to_thread(operators.listed)]

    @post(
        "/v1/operator-keys/{key_id:str}/rotate",
        operation_id="rotateOperatorKey",
        tags=["Operator keys"],
        opt=described(answers={201: CreatedOperatorKey}, example={"overlap_seconds": 3600}),
    )
    async def rotate_key(
        request: HttpRequest, key_id: FromPath[str], data: JSONBody[OperatorKeyRotation | None] = None
    ) -> Response[bytes]:
        """Makes a key of the same name and role; the one that it replaces is good for `overlap_seconds` more."""
        overlap = timedelta(seconds=(data or OperatorKeyRotation()).overlap_seconds)
        made = await asyncio.to_thread(operators.rotate, key_id, overlap, operator_of(request.scope).name)
        return _created(*made)

    @delete("/v1/operator-keys/{key_id:str}", operation_id="revokeOperatorKey", tags=["Operator keys"])
    async def revoke_key(key_id: FromPath[str]) -> None:
        """Ends a key at once."""
        await asyncio.to_thread(operators.revoke, key_id)

    @get(
        "/v1/audit-log",
        operation_id="readAuditLog",
        tags=["Audit log"],
        opt=described(answers={200: list[AuditEntryBody]}),
    )
    async def read_audit_log(
        *,
        before: Annotated[int | None, Parameter(description="Entries with a smaller number.")] = None,
        limit: Annotated[int, Parameter(ge=1, le=_MOST_ENTRIES, description="The most that are told.")] = 100,
        actor: Annotated[str | None, Parameter(description="Made with the key of this name.")] = None,
        action: Annotated[str | None, Parameter(description="Made by this operation.")] = None,
        namespace: Annotated[str | None, Parameter(description="About this namespace.")] = None,
        organization: Annotated[str | None, Parameter(description="About this organization.")] = None,
    ) -> Response[bytes]:
        """What was changed, the newest first: of accounts, catalogs, grants, keys, alerts and webhooks, and which
        corrections and erasures were made. Entries are never changed and never removed."""
        query = AuditQuery(limit, before, actor, action, namespace, organization)
        return json_response([_entry(each) for each in await asyncio.to_thread(audit_log.audit_entries, query)])

    handlers = [create_key, list_keys, rotate_key, revoke_key, read_audit_log]
    return Router("/", route_handlers=handlers, guards=[authentication.operator_guard(Role.ADMIN)])


def _created(key: OperatorKey, secret: str) -> Response[bytes]:
    response = json_response(CreatedOperatorKey(**msgspec.structs.asdict(_key(key)), key=secret))
    response.status_code = 201
    return response


def _key(key: OperatorKey) -> OperatorKeyBody:
    return OperatorKeyBody(
        key.id,
        key.name,
        key.role,
        key.namespace,
        key.prefix,
        format_instant(key.created_at),
        key.created_by,
        written(key.expires_at),
        written(key.revoked_at),
    )


def _entry(entry: AuditEntry) -> AuditEntryBody:
    return AuditEntryBody(
        entry.number,
        format_instant(entry.at),
        entry.actor,
        entry.address,
        entry.request_id,
        entry.action,
        entry.namespace,
        entry.organization,
        dict(entry.about),
    )

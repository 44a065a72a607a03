"""Keys of organizations."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Response, Router, delete, get, post
from litestar.params import FromPath, JSONBody

from ..domain.organization import Key
from ..domain.period import format_instant, parse_instant
from ..services.accounts import Accounts
from .authentication import Authentication
from .openapi import described


class NewKey(msgspec.Struct, forbid_unknown_fields=True):
    """A key to make. Without `scopes` it gets what its contract needs for reading."""

    scopes: list[str] | None = None
    user_id: str | None = None
    expires_at: str | None = None


class KeyBody(msgspec.Struct):
    """A key, without its secret."""

    id: str
    prefix: str
    scopes: list[str]
    user_id: str | None
    created_at: str
    expires_at: str | None
    revoked_at: str | None


class CreatedKey(KeyBody):
    """A new key; `key` is the secret and is shown this once."""

    key: str = ""


def keys_router(accounts: Accounts, authentication: Authentication) -> Router:
    """The routes, closed over what they need."""

    @post(
        "/v1/organizations/{organization_id:str}/keys",
        operation_id="createKey",
        tags=["Keys"],
        opt=described(example={"scopes": ["usage:read"], "expires_at": "2027-01-01T00:00:00Z"}),
    )
    async def create_key(organization_id: FromPath[str], data: JSONBody[NewKey | None] = None) -> Response[CreatedKey]:
        """Makes a key in the format of the organization's contract. The secret is shown this once."""
        wanted = data or NewKey()
        expires_at = parse_instant(wanted.expires_at) if wanted.expires_at is not None else None
        key, secret = await asyncio.to_thread(
            accounts.create_key, organization_id, wanted.scopes, wanted.user_id, expires_at
        )
        body = CreatedKey(**msgspec.structs.asdict(_key(key)), key=secret)
        return Response(body, status_code=201)

    @get("/v1/organizations/{organization_id:str}/keys", operation_id="listKeys", tags=["Keys"])
    async def list_keys(organization_id: FromPath[str]) -> list[KeyBody]:
        """The organization's keys, without their secrets."""
        return [_key(key) for key in await asyncio.to_thread(accounts.keys, organization_id)]

    @delete("/v1/organizations/{organization_id:str}/keys/{key_id:str}", operation_id="revokeKey", tags=["Keys"])
    async def revoke_key(organization_id: FromPath[str], key_id: FromPath[str]) -> None:
        """Ends a key at once."""
        await asyncio.to_thread(accounts.revoke_key, organization_id, key_id)

    return Router("/", route_handlers=[create_key, list_keys, revoke_key], guards=[authentication.operator_guard()])


def _key(key: Key) -> KeyBody:
    return KeyBody(
        key.id,
        key.prefix,
        sorted(key.scopes),
        key.user_id,
        format_instant(key.created_at),
        format_instant(key.expires_at) if key.expires_at else None,
        format_instant(key.revoked_at) if key.revoked_at else None,
    )

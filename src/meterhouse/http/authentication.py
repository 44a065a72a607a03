"""Who calls Meterhouse's own API: the operator with the admin key, or an organization with one of its keys."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any, TypeAlias

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard

from ..contracts.contract import bearer
from ..domain.organization import Caller, hash_secret
from ..services.accounts import Accounts
from .problems import Forbidden, Unauthorized

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Authentication:
    """Reads the `Authorization: Bearer` header."""

    admin_key_hash: str
    accounts: Accounts

    def admin_guard(self) -> Guard:
        """A guard that raises unless the caller is the operator, before anything of the request is read."""

        async def admin_only(connection: Connection, _handler: BaseRouteHandler) -> None:
            if await self.caller_of(connection) is not None:
                raise Forbidden("this needs the admin key")

        return admin_only

    async def caller_of(self, request: Connection) -> Caller | None:
        """What `caller` answers. Only keys, which may have to be looked up, take another thread."""
        return None if self._other_than_operator(request) is None else await asyncio.to_thread(self.caller, request)

    def caller(self, request: Connection) -> Caller | None:
        """The organization that calls, or None for the operator. Raises `Unauthorized` for anybody else."""
        secret = self._other_than_operator(request)
        if secret is None:
            return None
        caller = self.accounts.resolve(secret, list(self.accounts.policies))
        if caller is None or caller.organization.deleted_at is not None:
            raise Unauthorized("this key is not valid")
        return caller

    def is_operator(self, header: bytes) -> bool:
        """Whether an `Authorization` header, written as it mostly is, has the admin key."""
        scheme, _, secret = header.partition(b" ")
        return scheme == b"Bearer" and hmac.compare_digest(hash_secret(secret.decode("latin-1")), self.admin_key_hash)

    def _other_than_operator(self, request: Connection) -> str | None:
        """None for the operator, else the secret that was sent. Raises `Unauthorized` when there is none."""
        secret = bearer(request.headers)
        if secret is None:
            raise Unauthorized("send the header 'Authorization: Bearer <key>'")
        return None if hmac.compare_digest(hash_secret(secret), self.admin_key_hash) else secret

"""Who calls Meterhouse's own API: the operator with the admin key, or an organization with one of its keys."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any, TypeAlias

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard, HTTPScope, Scope

from ..contracts.contract import bearer
from ..domain.organization import Caller, hash_secret
from ..services.accounts import Accounts
from .attempts import Attempts
from .portal_tokens import PortalTokens
from .problems import Forbidden, TooManyFailures, Unauthorized

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Authentication:
    """Reads the `Authorization: Bearer` header."""

    admin_key_hash: str
    accounts: Accounts
    attempts: Attempts
    portal_tokens: PortalTokens

    def admin_guard(self) -> Guard:
        """A guard that raises unless the caller is the operator, before anything of the request is read."""

        async def admin_only(connection: Connection, _handler: BaseRouteHandler) -> None:
            if await self.caller_of(connection) is not None:
                raise Forbidden("this needs the admin key")

        return admin_only

    async def caller_of(self, request: Connection) -> Caller | None:
        """What `caller` answers. Only keys, which may have to be looked up, take another thread."""
        if self._other_than_operator(request) is None:
            return None
        return await asyncio.to_thread(self.caller, request)

    def caller(self, request: Connection) -> Caller | None:
        """The organization that calls, or None for the operator. Raises `Unauthorized` for anybody else, and
        `TooManyFailures` where too many others came from."""
        secret = self._other_than_operator(request)
        if secret is None:
            return None
        if request.scope["route_handler"].opt.get("takes_portal_tokens") and (caller := self._guest(secret)):
            return caller
        return self._holder(secret, request.scope)

    def sign_in(self, secret: str, scope: Scope) -> Caller | None:
        """Whose key it is, as `caller` answers."""
        return self._holder(secret, scope) if self._is_other_than_operator(secret, scope) else None

    def _holder(self, secret: str, scope: Scope) -> Caller:
        caller = self.accounts.resolve(secret, list(self.accounts.policies))
        if caller is None or caller.organization.deleted_at is not None:
            self.attempts.failed(_address(scope))
            raise Unauthorized("this key is not valid")
        self.attempts.succeeded(hash_secret(secret))
        return caller

    def _guest(self, secret: str) -> Caller | None:
        """The organization whose usage a token may read."""
        claims = self.portal_tokens.read(secret)
        organization = self.accounts.ledger.organization(claims.organization) if claims is not None else None
        if organization is None or organization.deleted_at is not None:
            return None
        return Caller(organization, self.accounts.policies[organization.namespace].reading, None, None)

    def is_operator(self, header: bytes, scope: HTTPScope) -> bool:
        """Whether an `Authorization` header, written as it mostly is, has the admin key. Also False where `caller`
        would have the request wait."""
        scheme, _, secret = header.partition(b" ")
        if scheme != b"Bearer":
            return False
        key_hash = hash_secret(secret.decode("latin-1"))
        if not hmac.compare_digest(key_hash, self.admin_key_hash) or self._wait_s(scope, key_hash):
            return False
        self.attempts.succeeded(key_hash)
        return True

    def _other_than_operator(self, request: Connection) -> str | None:
        """None for the operator, else the secret that was sent. Raises `Unauthorized` when there is none."""
        secret = bearer(request.headers)
        if secret is None:
            raise Unauthorized("send the header 'Authorization: Bearer <key>'")
        return secret if self._is_other_than_operator(secret, request.scope) else None

    def _is_other_than_operator(self, secret: str, scope: Scope) -> bool:
        key_hash = hash_secret(secret)
        if wait_s := self._wait_s(scope, key_hash):
            raise TooManyFailures(
                "too many wrong keys came from this address; wait (METERHOUSE_FAILED_KEYS_PER_MINUTE)",
                headers={"Retry-After": str(wait_s)},
            )
        if not hmac.compare_digest(key_hash, self.admin_key_hash):
            return True
        self.attempts.succeeded(key_hash)
        return False

    def _wait_s(self, scope: Scope, key_hash: str) -> int:
        return self.attempts.wait_s(_address(scope), key_hash)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""

"""Who calls Meterhouse's own API: the operator with the admin key, or an organization with one of its keys."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from ..contracts.contract import bearer
from ..domain.organization import hash_secret
from ..services.accounts import Accounts, Caller
from .problems import Forbidden, Unauthorized
from .request import HttpRequest


@dataclass(frozen=True, slots=True)
class Authentication:
    """Reads the `Authorization: Bearer` header."""

    admin_key_hash: str
    accounts: Accounts

    def require_admin(self, request: HttpRequest) -> None:
        """Raises unless the caller is the operator."""
        if self.caller(request) is not None:
            raise Forbidden("this needs the admin key")

    def caller(self, request: HttpRequest) -> Caller | None:
        """The organization that calls, or None for the operator. Raises `Unauthorized` for anybody else."""
        secret = bearer(request.headers)
        if secret is None:
            raise Unauthorized("send the header 'Authorization: Bearer <key>'")
        if hmac.compare_digest(hash_secret(secret), self.admin_key_hash):
            return None
        caller = self.accounts.resolve(secret, list(self.accounts.policies))
        if caller is None or caller.organization.deleted_at is not None:
            raise Unauthorized("this key is not valid")
        return caller

"""Who calls Meterhouse's own API: an operator, with the admin key or a key of their own, or an organization with one of
its keys."""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import Any, TypeAlias

from litestar.connection import ASGIConnection
from litestar.enums import ScopeType
from litestar.handlers import BaseRouteHandler
from litestar.types import Guard, HTTPScope, Scope

from ..contracts.contract import bearer
from ..domain.audit import Act
from ..domain.operator_key import Operator, Role
from ..domain.organization import Caller, hash_secret
from ..ports.audit_log import acting
from ..ports.clock import Clock
from ..services.accounts import Accounts
from ..services.operators import THE_ADMIN_KEY, Operators
from .attempts import Attempts
from .portal_tokens import PortalTokens
from .problems import Forbidden, TooManyFailures, Unauthorized

_READING = ("GET", "HEAD")

Connection: TypeAlias = ASGIConnection[Any, Any, Any, Any]


@dataclass(frozen=True, slots=True)
class Authentication:
    """Reads the `Authorization: Bearer` header."""

    admin_key_hash: str
    accounts: Accounts
    operators: Operators
    attempts: Attempts
    portal_tokens: PortalTokens

    def operator_guard(self, role: Role | None = None) -> Guard:
        """A guard that raises unless the caller is an operator with a role, before anything of the request is read.
        Without one, `READ` is enough for GET, and all else takes `OPERATE`."""

        async def operators_only(connection: Connection, _handler: BaseRouteHandler) -> None:
            if await self.caller_of(connection, role) is not None:
                raise Forbidden("this needs the admin key, or an operator's")

        return operators_only

    async def caller_of(self, request: Connection, role: Role | None = None) -> Caller | None:
        """What `caller` answers. Only keys, which may have to be looked up, take another thread."""
        secret = self._secret(request)
        if not self._is_admin_key(secret, request.scope):
            caller = await asyncio.to_thread(self.caller, request, role)
            if caller is None:
                _acts(request, self.accounts.clock)  # what is set in another thread stays there
            return caller
        _admit(request, THE_ADMIN_KEY, role)
        _acts(request, self.accounts.clock)
        return None

    def caller(self, request: Connection, role: Role | None = None) -> Caller | None:
        """The organization that calls, or None for an operator, who has the role: see `operator_guard`. Raises
        `Unauthorized` for anybody else, `TooManyFailures` where too many others came from, and `Forbidden`."""
        secret = self._secret(request)
        if self._is_admin_key(secret, request.scope):
            _admit(request, THE_ADMIN_KEY, role)
            return None
        if (operator := self.operators.resolve(secret)) is not None:
            self.attempts.succeeded(hash_secret(secret))
            _admit(request, operator, role)
            return None
        if request.scope["route_handler"].opt.get("takes_portal_tokens") and (caller := self._guest(secret)):
            return caller
        return self._holder(secret, request.scope)

    def sign_in(self, secret: str, scope: Scope) -> Caller | Operator:
        """Whose key it is. Raises as `caller` does."""
        if self._is_admin_key(secret, scope):
            return THE_ADMIN_KEY
        if (operator := self.operators.resolve(secret)) is not None:
            self.attempts.succeeded(hash_secret(secret))
            return operator
        return self._holder(secret, scope)

    def namespace_of(
        self, secret: str, scope: Scope, role: Role, *, of_organizations: bool = False
    ) -> tuple[str, str | None]:
        """The namespace of an operator's key that is for one, and has the role. Or, where those of organizations are
        taken, too, the namespace and the id of the organization whose key it is. Raises `Unauthorized`,
        `TooManyFailures` and `Forbidden`."""
        if self._is_admin_key(secret, scope):
            operator = THE_ADMIN_KEY
        elif (found := self.operators.resolve(secret)) is not None:
            self.attempts.succeeded(hash_secret(secret))
            operator = found
        elif of_organizations:
            caller = self._holder(secret, scope)
            namespace = caller.organization.namespace
            if not caller.scopes & self.accounts.policies[namespace].reading:
                raise Forbidden("this key may not read usage")
            return namespace, caller.organization.id
        else:
            self.attempts.failed(_address(scope))
            raise Unauthorized("this key is not valid")
        if operator.namespace is None or not operator.role.may(role):
            raise Forbidden(
                f"this needs an operator key with the role {role}, for one namespace: "
                f"meterhouse operator-key add NAME --role {role} --namespace NAMESPACE"
            )
        scope["state"]["operator"] = operator
        return operator.namespace, None

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

    def may_ingest(self, header: bytes, scope: HTTPScope, namespace: str | None) -> bool:
        """Whether an `Authorization` header, written as it mostly is, has the key of an operator who may send events of
        a namespace; of any where it is None. Also False where `caller` would have the request wait."""
        scheme, _, written = header.partition(b" ")
        if scheme != b"Bearer":
            return False
        secret = written.decode("latin-1")
        key_hash = hash_secret(secret)
        if self._wait_s(scope, key_hash):
            return False
        operator = (
            THE_ADMIN_KEY if hmac.compare_digest(key_hash, self.admin_key_hash) else self.operators.resolve(secret)
        )
        if operator is None or not operator.role.may(Role.INGEST) or (operator.namespace or namespace) != namespace:
            return False
        self.attempts.succeeded(key_hash)
        return True

    def _secret(self, request: Connection) -> str:
        """What was sent. Raises `Unauthorized` when there is none."""
        secret = bearer(request.headers)
        if secret is None:
            raise Unauthorized("send the header 'Authorization: Bearer <key>'")
        return secret

    def _is_admin_key(self, secret: str, scope: Scope) -> bool:
        key_hash = hash_secret(secret)
        if wait_s := self._wait_s(scope, key_hash):
            raise TooManyFailures(
                "too many wrong keys came from this address; wait (METERHOUSE_FAILED_KEYS_PER_MINUTE)",
                headers={"Retry-After": str(wait_s)},
            )
        if not hmac.compare_digest(key_hash, self.admin_key_hash):
            return False
        self.attempts.succeeded(key_hash)
        return True

    def _wait_s(self, scope: Scope, key_hash: str) -> int:
        return self.attempts.wait_s(_address(scope), key_hash)


def _address(scope: Scope) -> str:
    client = scope.get("client")
    return client[0] if client else ""


def operator_of(scope: Scope) -> Operator:
    """The operator that a request was admitted for."""
    operator: Operator = scope["state"]["operator"]
    return operator


def _reads(request: Connection) -> bool:
    return request.scope["type"] == ScopeType.HTTP and request.scope["method"] in _READING


def refuse_other_namespace(request: Connection, namespace: str) -> None:
    """Raises `Forbidden` for an operator whose key is for another namespace."""
    operator: Operator | None = request.scope["state"].get("operator")
    if operator is not None and not operator.may_ingest(namespace):
        raise Forbidden(f"the key {operator.name!r} is for the namespace {operator.namespace!r}")


def _admit(request: Connection, operator: Operator, role: Role | None) -> None:
    """Raises `Forbidden` unless the operator has the role."""
    needed = role or (Role.READ if _reads(request) else Role.OPERATE)
    if not operator.role.may(needed):
        raise Forbidden(f"this needs an operator key with the role {needed}; {operator.name!r} has {operator.role}")
    request.scope["state"]["operator"] = operator


def _acts(request: Connection, clock: Clock) -> None:
    """What is changed from here on is in the audit log as the operator's doing."""
    if not _reads(request):
        action = getattr(request.scope["route_handler"], "operation_id", None) or request.scope["path_template"]
        begin_act(request.scope, operator_of(request.scope), str(action), clock)


def begin_act(scope: Scope, operator: Operator, action: str, clock: Clock) -> None:
    """The same, whatever says who the operator is. It holds for the thread, or the task, that calls it."""
    acting.set(Act(clock.now(), operator.name, _address(scope), scope["state"]["request_id"], action))

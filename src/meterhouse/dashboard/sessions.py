"""Who has signed in: signed cookies that end in time, at sign-out, and with the key that they were given for."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import jwt
import msgspec

from ..domain.operator_key import Operator, Role
from ..domain.organization import Caller, Organization
from ..http.problems import Forbidden
from ..services.accounts import Accounts
from ..services.operators import THE_ADMIN_KEY, Operators

LIFETIME = timedelta(hours=12)
"""How long a session lasts at most."""
IDLE = timedelta(hours=2)
"""How long it lasts while nothing is asked."""
COOKIE = "meterhouse_session"
_ALGORITHM = "HS256"
_MAX_COOKIE = 2_000


class Session(msgspec.Struct, frozen=True):
    """A browser's session. `key` is the id of an organization's or an operator's key, or the fingerprint of the admin
    key; without it nobody has signed in yet."""

    id: str
    began_s: int
    seen_s: int
    organization: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who has signed in, and may see: an operator everything, an organization itself."""

    organization: Organization | None
    operator: Operator | None = None

    @property
    def is_operator(self) -> bool:
        """Whether it is an operator."""
        return self.operator is not None

    def may(self, role: Role) -> bool:
        """Whether it is an operator with a role."""
        return self.operator is not None and self.operator.role.may(role)

    def may_see(self, organization_id: str) -> bool:
        """Whether pages of that organization are for it."""
        return self.organization is None or self.organization.id == organization_id


class Sessions:
    """Begins, reads and ends sessions."""

    def __init__(
        self,
        secret: bytes,
        admin_key_hash: str,
        accounts: Accounts,
        operators: Operators,
        random_bytes: Callable[[int], bytes],
    ):
        self._secret = secret
        self._operator = hashlib.sha256(b"session of " + admin_key_hash.encode()).hexdigest()[:24]
        self._accounts = accounts
        self._operators = operators
        self.clock = accounts.clock
        self._random_bytes = random_bytes

    def anonymous(self) -> Session:
        """A session of somebody who may sign in."""
        now_s = int(self.clock.now().timestamp())
        return Session(self._random_bytes(16).hex(), now_s, now_s)

    def signed_in(self, caller: Caller | Operator) -> Session:
        """A session for an operator, or for whoever has an organization's key. Raises `Forbidden` for a key that reads
        nothing."""
        session = self.anonymous()
        if isinstance(caller, Operator):
            if not caller.role.may(Role.READ):
                raise Forbidden(f"the role {caller.role} reads nothing: sign in with a key that may")
            return msgspec.structs.replace(session, key=caller.key or self._operator)
        if not caller.scopes & self._accounts.policies[caller.organization.namespace].reading:
            raise Forbidden("this key may not read usage: sign in with one that may")
        return msgspec.structs.replace(session, organization=caller.organization.id, key=caller.key_id)

    def end(self, session: Session) -> None:
        """Its cookie is good for nothing from now on."""
        self._accounts.ledger.end_session(session.id, _instant(session.began_s) + LIFETIME, self.clock.now())

    def cookie(self, session: Session, *, seen: bool = True) -> str:
        """The cookie's value; `seen` keeps the session from idling out."""
        now_s = int(self.clock.now().timestamp()) if seen else session.seen_s
        claims = msgspec.to_builtins(msgspec.structs.replace(session, seen_s=now_s))
        return jwt.encode(claims, self._secret, _ALGORITHM)

    def read(self, cookie: str | None) -> Session | None:
        """The session of a cookie, as long as it lasts."""
        if cookie is None or len(cookie) > _MAX_COOKIE:
            return None
        try:
            session = msgspec.convert(jwt.decode(cookie, self._secret, [_ALGORITHM]), Session)
        except (jwt.PyJWTError, msgspec.ValidationError):
            return None
        now = self.clock.now()
        ends_at = min(_instant(session.began_s) + LIFETIME, _instant(session.seen_s) + IDLE)
        return session if now < ends_at and not self._accounts.ledger.session_ended(session.id) else None

    def viewer(self, session: Session | None) -> Viewer | None:
        """Who has signed in; None where the key was revoked since, or the organization deleted."""
        if session is None or session.key is None:
            return None
        if session.organization is None:
            is_admin = hmac.compare_digest(session.key, self._operator)
            operator = THE_ADMIN_KEY if is_admin else self._operators.of_key(session.key)
            return Viewer(None, operator) if operator is not None else None
        organization = self._accounts.ledger.organization(session.organization)
        if organization is None or organization.deleted_at is not None:
            return None
        now = self.clock.now()
        keys = self._accounts.ledger.keys(organization.id)
        valid = any(key.id == session.key and key.valid_at(now) for key in keys)
        return Viewer(organization) if valid else None

    def form_token(self, session: Session) -> str:
        """What a form has in it that only our own pages can know."""
        return hmac.digest(self._secret, b"form of " + session.id.encode(), "sha256").hex()

    def check_form(self, session: Session | None, token: str) -> Session:
        """The session that a form was sent from. Raises `Forbidden` when it is not from a page of ours."""
        if session is None or not hmac.compare_digest(token.encode(), self.form_token(session).encode()):
            raise Forbidden("this form is too old, or not from here: go back, reload the page and send it again")
        return session


def _instant(seconds: int) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)

"""JSON Web Tokens of an identity provider: signed with RS256 by a key of its JSON Web Key Set."""

from __future__ import annotations

import json
import math
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import jwt
import structlog
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from ..domain.organization import is_name
from ..ports.clock import Clock

ALGORITHM = "RS256"
LEEWAY_S = 5
"""How far the clocks of the provider and of this server may be apart."""
CACHED_FOR_S = 300
"""How old the keys may get before they are read again; a key that was withdrawn is good for that long."""
REREAD_EVERY_S = 10
"""How long a failed read, or one for an unknown key id, keeps the next one away: forged ids are free to make."""
READ_WITHIN_S = 5
"""How long reading the keys may take, and how long any step of it may wait."""
MAX_TOKEN_BYTES = 8 * 1024
MAX_JWKS_BYTES = 1024 * 1024
MAX_SUBJECT = 200
_MIN_KEY_BITS = 2048  # RFC 7518, 3.3

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)
_URL = re.compile(r"https?://", re.IGNORECASE)
_URL_SECRETS = re.compile(r"(?<=//)[^/@]*@|[?#].*", re.DOTALL)

_log = structlog.get_logger(__name__)


class TokensUnavailable(Exception):
    """The keys to verify tokens with cannot be had; message for the log, never for a client."""


@dataclass(frozen=True, slots=True)
class _KeySet:
    """The keys that one read found, and when it began on the monotonic clock."""

    keys: tuple[jwt.PyJWK, ...]
    read_at_s: float

    def find(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of that id. Without an id there is no choice: it must be the only one."""
        if key_id is None:
            return self.keys[0] if len(self.keys) == 1 else None
        return next((key for key in self.keys if key.key_id == key_id), None)


class TokenVerifier:
    """Verifies the tokens of one provider. May be called from many threads; a call may block for a read of the keys.

    `jwks` is the URL or the file of the provider's keys. `issuer` and `audience` are what a token must name; None
    takes any. Whether a token is in force is judged by `clock`, the age of the keys by `monotonic`, in seconds.
    """

    def __init__(
        self,
        jwks: str,
        issuer: str | None,
        audience: str | None,
        clock: Clock,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ):
        self._jwks = jwks
        self._issuer = issuer
        self._audience = audience
        self._clock = clock
        self._monotonic = monotonic
        self._is_url = _URL.match(jwks) is not None
        self._source = _URL_SECRETS.sub("", jwks) if self._is_url else jwks
        self._reading = threading.Lock()
        self._key_set = _KeySet((), -math.inf)
        self._rests_until_s = -math.inf
        self._failure = ""

    def verify(self, token: str) -> Mapping[str, Any] | None:
        """The claims of a valid token, None for anything else. Raises `TokensUnavailable`.

        Valid are: a signature of a current key, the issuer and the audience, `exp`, `nbf` and `iat` (numbers, each
        LEEWAY_S either way; `exp` is required) and a `sub` of 1 to 200 printable characters.
        """
        if len(token) > MAX_TOKEN_BYTES or _COMPACT.fullmatch(token) is None:
            return None
        try:
            header = jwt.get_unverified_header(token)
            if header.get("alg") != ALGORITHM:  # before its key id can cause a read
                return None
            key = self._key(header.get("kid"))
            if key is None:
                return None
            claims = jwt.decode(
                token,
                key,
                algorithms=[ALGORITHM],
                issuer=self._issuer,
                audience=self._audience,
                options={
                    "verify_iss": self._issuer is not None,
                    "verify_aud": self._audience is not None,
                    # PyJWT has the machine's clock only.
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                },
            )
        except jwt.PyJWTError:
            return None
        in_force = _in_force(claims, self._clock.now().timestamp())
        return claims if in_force and _names_subject(claims) else None

    def _key(self, key_id: str | None) -> jwt.PyJWK | None:
        """The key of that id, from keys as fresh as can be had. Raises `TokensUnavailable` when there are none."""
        known = self._key_set.find(key_id) is not None
        # While one thread reads, the others go on with the key they have; only those without one wait.
        if self._read_is_due(key_id) and self._reading.acquire(blocking=not known):
            try:
                if self._read_is_due(key_id):
                    self._read()
            finally:
                self._reading.release()
        key_set = self._key_set
        if not key_set.keys:
            raise TokensUnavailable(self._failure)
        return key_set.find(key_id)

    def _read_is_due(self, key_id: str | None) -> bool:
        now_s, key_set = self._monotonic(), self._key_set
        aged = now_s - key_set.read_at_s >= CACHED_FOR_S
        return (aged or key_set.find(key_id) is None) and now_s >= self._rests_until_s

    def _read(self) -> None:
        """Reads the keys anew; when that fails, those there are stay. The caller holds the lock."""
        began_s, before = self._monotonic(), self._key_set
        aged = began_s - before.read_at_s >= CACHED_FOR_S
        try:
            self._key_set = _KeySet(_usable_keys(self._document()), began_s)
        except (TokensUnavailable, httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, TokensUnavailable) else f"{type(error).__name__}: {error}"
            self._failure = f"cannot read the keys of tokens from {self._source}: {reason}"
            if before.keys:
                age_s = round(began_s - before.read_at_s)
                _log.warning("token keys could not be read again, the old ones stay", reason=self._failure, age_s=age_s)
        else:
            if aged:  # by the clock, and no token's doing
                return
        self._rests_until_s = self._monotonic() + REREAD_EVERY_S

    def _document(self) -> bytes:
        """The key set as it is served or filed."""
        if not self._is_url:
            with Path(self._jwks).open("rb") as file:
                return _limited(file.read(MAX_JWKS_BYTES + 1))
        body, deadline_s = b"", time.monotonic() + READ_WITHIN_S
        # Unpacked bytes are not wanted: their size would be known only when they are there.
        plain = {"accept-encoding": "identity"}
        with httpx.stream("GET", self._jwks, headers=plain, timeout=READ_WITHIN_S, follow_redirects=False) as response:
            if response.status_code != 200:
                raise TokensUnavailable(f"the answer has status {response.status_code}, not 200")
            for chunk in response.iter_raw():
                body = _limited(body + chunk)
                if time.monotonic() > deadline_s:
                    raise TokensUnavailable(f"the answer takes longer than {READ_WITHIN_S} s")
        return body


def _limited(body: bytes) -> bytes:
    if len(body) > MAX_JWKS_BYTES:
        raise TokensUnavailable(f"they are larger than {MAX_JWKS_BYTES} bytes")
    return body


def _usable_keys(document: bytes) -> tuple[jwt.PyJWK, ...]:
    """The public RSA keys of a key set that are there to verify RS256. Raises `TokensUnavailable` without any, and
    `ValueError` or `RecursionError` for what is no JSON."""
    content = json.loads(document)
    listed = content.get("keys") if isinstance(content, dict) else None
    if not isinstance(listed, list):
        raise TokensUnavailable('it is no JSON object with a list "keys"')
    # Others are left out before they are parsed: one key of a kind yet unknown does not spoil the set.
    candidates = [key for key in listed if isinstance(key, dict) and _is_for_rs256(key)]
    try:
        parsed = jwt.PyJWKSet(candidates).keys
    except jwt.PyJWTError:
        parsed = []
    usable = tuple(key for key in parsed if isinstance(key.key, RSAPublicKey) and key.key.key_size >= _MIN_KEY_BITS)
    if not usable:
        raise TokensUnavailable(f"none of its {len(listed)} keys is a public RSA key for {ALGORITHM} signatures")
    return usable


def _is_for_rs256(key: Mapping[str, Any]) -> bool:
    return (
        key.get("kty") == "RSA"
        and key.get("alg", ALGORITHM) == ALGORITHM
        and key.get("use", "sig") == "sig"
        and isinstance(key.get("kid", ""), str)
    )


def _in_force(claims: Mapping[str, Any], now_s: float) -> bool:
    """Whether a token holds at that moment: from `nbf` and `iat` on, up to but not including `exp`."""
    times = {name: claims[name] for name in ("exp", "nbf", "iat") if name in claims}
    if "exp" not in times or not all(_is_number(value) for value in times.values()):
        return False
    return now_s - LEEWAY_S < times.pop("exp") and all(start <= now_s + LEEWAY_S for start in times.values())


def _is_number(value: object) -> bool:
    """Whether it is a finite number; Python counts `true` among the integers and reads 1e400 as infinite."""
    return type(value) is int or (type(value) is float and math.isfinite(value))


def _names_subject(claims: Mapping[str, Any]) -> bool:
    subject = claims.get("sub")
    # Printable, because half a surrogate pair or a NUL could not be stored as anybody's id.
    return isinstance(subject, str) and 1 <= len(subject) <= MAX_SUBJECT and is_name(subject)

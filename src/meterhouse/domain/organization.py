"""Organizations and the keys that speak for them."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from dataclasses import dataclass
from datetime import datetime

from .errors import Invalid

MAX_NAME = 200
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:@-]{0,127}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Organization:
    """Who uses and pays. Ids are unique over all namespaces; events carry them as their subject."""

    id: str
    name: str
    namespace: str
    created_at: datetime
    deleted_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Key:
    """A credential of one organization. The secret itself is known to its holder alone: here is only its hash."""

    id: str
    organization: str
    prefix: str
    """The first characters of the secret, to recognise it by."""
    secret_hash: str
    scopes: frozenset[str]
    user_id: str | None
    created_at: datetime
    expires_at: datetime | None = None
    revoked_at: datetime | None = None

    def valid_at(self, now: datetime) -> bool:
        """Neither revoked nor expired; a key is no longer valid at the very instant it expires."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who a valid credential speaks for. The organization may be deleted; its contract says what the caller is told."""

    organization: Organization
    scopes: frozenset[str]
    user_id: str | None
    """The person behind the credential, where one is known."""
    key_id: str | None
    """The key that was sent; None for a token."""
    expires_at: datetime | None = None
    """When that key ends by itself; None: never."""


@dataclass(frozen=True, slots=True)
class KeyFormat:
    """How the keys of a contract look: a prefix, then random characters of an alphabet (160 bits or more)."""

    prefix: str
    alphabet: str
    length: int

    def mint(self, random: bytes) -> str:
        """A secret made from 64 random bytes: their number, written in the alphabet."""
        number, base, digits = int.from_bytes(random), len(self.alphabet), ""
        for _ in range(self.length):
            number, digit = divmod(number, base)
            digits += self.alphabet[digit]
        return self.prefix + digits

    def matches(self, secret: str) -> bool:
        """Whether a secret can be one of these at all; bounds what is hashed and looked up."""
        body = secret.removeprefix(self.prefix)
        return (
            secret.startswith(self.prefix)
            and len(body) == self.length
            and all(character in self.alphabet for character in body)
        )


def hash_secret(secret: str) -> str:
    """SHA-256 in hex. Secrets have 160 random bits, so a slow, salted hash would add cost and no safety."""
    return hashlib.sha256(secret.encode()).hexdigest()


def check_name(text: str, field: str) -> str:
    """A text for people, in any script: 1 to 200 characters; raises `Invalid`, naming the field."""
    if not 1 <= len(text) <= MAX_NAME or not is_name(text):
        raise Invalid(f"{field} must have 1 to {MAX_NAME} characters, none of them a control character")
    return text


_JOINERS = frozenset("\u200c\u200d")
"""Invisible characters that Persian and Indian words and emoji are written with."""


def is_name(text: str) -> bool:
    """Whether people can read all of a text: letters of any script, spaces and joiners, but no control characters,
    line breaks, or marks that turn the direction of what follows."""
    return all(
        character.isprintable() or character in _JOINERS or unicodedata.category(character) == "Zs"
        for character in text
    )


def is_organization_id(text: str) -> bool:
    """Whether a text can be an organization's id at all."""
    return _ID.fullmatch(text) is not None


def check_organization_id(text: str) -> str:
    """The id itself; raises `Invalid` when it could not stand in a path or a subject."""
    if not is_organization_id(text):
        raise Invalid(
            f"organization id {text[:60]!r} is not allowed: 1 to 128 letters, digits and . _ : @ - "
            "that begin with a letter or digit"
        )
    return text

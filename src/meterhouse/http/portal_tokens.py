"""Tokens of usage pages: signed, for one organization, until an instant, and for pages of named origins."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

import jwt
import msgspec

from ..domain.errors import Invalid
from ..domain.period import format_instant
from ..ports.clock import Clock
from .problems import Unauthorized

TAKES_PORTAL_TOKENS = {"takes_portal_tokens": True}
"""The `opt` of a handler that answers their holders as well."""
MAX_TOKEN = 4_096
"""Longest token that is looked at, in characters."""
MAX_ORIGINS = 10
_ALGORITHM = "HS256"
_HOST = r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?"
_ORIGIN = re.compile(rf"https?://{_HOST}", re.ASCII)
_LOGO = re.compile(rf"(https://{_HOST})/[A-Za-z0-9._~!$&()*+,=:@%/?-]{{0,500}}", re.ASCII)
_COLOR = re.compile(r"#[0-9a-f]{6}", re.ASCII | re.IGNORECASE)
_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


class Theme(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """How a usage page looks: `color` is `#rrggbb`, `logo` the https URL of a picture."""

    color: str | None = None
    logo: str | None = None
    mode: Literal["light", "dark", "auto"] = "auto"

    def checked(self) -> Theme:
        """Itself; raises `Invalid`, naming the field."""
        if self.color is not None and not _COLOR.fullmatch(self.color):
            raise Invalid(f"theme.color {self.color[:20]!r} must be written #rrggbb, like #2255cc")
        if self.logo is not None and not _LOGO.fullmatch(self.logo):
            raise Invalid(f"theme.logo {self.logo[:60]!r} must be an https URL of at most 500 plain characters")
        return self

    @property
    def logo_origin(self) -> str | None:
        """The origin that the picture comes from."""
        found = _LOGO.fullmatch(self.logo) if self.logo is not None else None
        return found[1] if found is not None else None


class PortalClaims(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a token says. `origins` are those whose pages may show the usage page in a frame and call with the token."""

    organization: str
    scope: Literal["usage:read"]
    exp: int
    origins: tuple[str, ...]
    theme: Theme


@dataclass(frozen=True, slots=True)
class PortalTokens:
    """Writes tokens, and reads back none but its own."""

    secret: bytes
    clock: Clock

    def write(self, organization: str, expires_at: datetime, origins: tuple[str, ...], theme: Theme) -> str:
        """A token. Raises `Invalid` for origins and themes that are none."""
        if len(origins) > MAX_ORIGINS:
            raise Invalid(f"origins: at most {MAX_ORIGINS} of them, not {len(origins)}")
        for origin in origins:
            if not _ORIGIN.fullmatch(origin):
                raise Invalid(f"origins: {origin[:60]!r} must be written like https://app.example.com, without a path")
        claims = PortalClaims(organization, "usage:read", int(expires_at.timestamp()), origins, theme.checked())
        token = jwt.encode(msgspec.to_builtins(claims), self.secret, _ALGORITHM)
        if len(token) > MAX_TOKEN:
            raise Invalid(f"the link would have more than {MAX_TOKEN:,} characters: name fewer origins, a shorter logo")
        return token

    def read(self, token: str) -> PortalClaims | None:
        """What a token says; None for whatever was not written here, or was altered since. Raises `Unauthorized` for
        one whose time is over."""
        if len(token) > MAX_TOKEN or not _COMPACT.fullmatch(token):
            return None
        try:
            # PyJWT has the machine's clock only.
            said = jwt.decode(token, self.secret, [_ALGORITHM], options={"verify_exp": False})
            claims = msgspec.convert(said, PortalClaims, strict=True)
        except (jwt.PyJWTError, msgspec.ValidationError):
            return None
        end = datetime.fromtimestamp(claims.exp, UTC)
        if self.clock.now() >= end:
            raise Unauthorized(f"this link ended at {format_instant(end)}: ask for a new one where you found it")
        return claims

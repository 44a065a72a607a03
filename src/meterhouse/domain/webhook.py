"""Webhooks: where messages are sent, and how they are signed, by the Standard Webhooks specification."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address
from urllib.parse import urlsplit

from .errors import Invalid
from .public_address import is_public

MOST_ENDPOINTS = 20
"""That a namespace has."""
LONGEST_OVERLAP = timedelta(days=7)
_LONGEST_URL = 2_000
_PREFIX = "whsec_"


class EventType(StrEnum):
    """What there is to tell."""

    LIMIT_THRESHOLD_REACHED = "limit.threshold_reached"
    LIMIT_EXCEEDED = "limit.exceeded"
    BALANCE_LOW = "balance.low"
    BALANCE_EXHAUSTED = "balance.exhausted"
    GRANT_EXPIRING = "grant.expiring"
    FORECAST_EXCEEDS_LIMIT = "forecast.exceeds_limit"
    PERIOD_CLOSED = "period.closed"
    CORRECTION_MADE = "correction.made"
    TEST = "test"
    """Sent when somebody asks for it, to any endpoint."""


@dataclass(frozen=True, slots=True)
class SigningSecret:
    """What an endpoint's messages are signed with."""

    secret: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None = None
    """When it is not used any more; None for the newest."""

    def valid_at(self, now: datetime) -> bool:
        """Whether messages are signed with it."""
        return self.expires_at is None or now < self.expires_at


@dataclass(frozen=True, slots=True)
class WebhookEndpoint:
    """A URL that messages of a namespace are sent to."""

    id: str
    namespace: str
    url: str
    event_types: frozenset[EventType]
    """Which ones it takes; empty for all."""
    secrets: tuple[SigningSecret, ...] = field(repr=False)
    """The newest first."""
    enabled: bool
    created_at: datetime
    failing_since: datetime | None = None
    """The first attempt that failed, since one has succeeded."""
    switched_off: str | None = None
    """Why Meterhouse has switched it off."""

    def takes(self, event_type: EventType) -> bool:
        """Whether it is told such events."""
        return event_type is EventType.TEST or not self.event_types or event_type in self.event_types

    def rotated(self, secret: str, now: datetime, overlap: timedelta) -> WebhookEndpoint:
        """The same with a new secret. Those before are used too, for so long."""
        ends_at = now + overlap
        kept = (
            each if each.expires_at is not None and each.expires_at < ends_at else replace(each, expires_at=ends_at)
            for each in self.secrets
        )
        newest = SigningSecret(secret, now)
        return replace(self, secrets=(newest, *(each for each in kept if each.valid_at(now))))


def new_secret(random: bytes) -> str:
    """A secret from 24 to 64 random bytes, as the specification writes it."""
    return _PREFIX + base64.b64encode(random).decode()


def signatures(secrets: Iterable[SigningSecret], message_id: str, at: datetime, body: bytes) -> dict[str, str]:
    """The headers of an attempt: the message's id, when it was made, and a signature for each secret that is valid."""
    seconds = int(at.timestamp())
    signed = f"{message_id}.{seconds}.".encode() + body
    made = (
        hmac.digest(base64.b64decode(each.secret.removeprefix(_PREFIX)), signed, hashlib.sha256)
        for each in secrets
        if each.valid_at(at)
    )
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(seconds),
        "webhook-signature": " ".join(f"v1,{base64.b64encode(each).decode()}" for each in made),
    }


def check_url(url: str, *, private: bool) -> None:
    """Raises `Invalid` for what cannot be a webhook's URL. `private` says that any address may be connected to; a name
    is looked up, and its addresses judged, when there is something to send."""
    try:
        parts = urlsplit(url)
        port, host = parts.port, parts.hostname
    except ValueError as wrong:
        raise Invalid(f"url: {url[:80]!r} is not a URL: {wrong}") from None
    schemes = ("https", "http") if private else ("https",)
    if parts.scheme not in schemes:
        hint = "" if private else "; http only where METERHOUSE_WEBHOOK_ADDRESSES is any"
        raise Invalid(
            f"url: must begin with https://, not {parts.scheme[:20] + ':' if parts.scheme else 'no scheme'}{hint}"
        )
    if not host or port == 0 or len(url) > _LONGEST_URL or not url.isascii() or not url.isprintable() or " " in url:
        raise Invalid(
            f"url: must be like https://example.com/hook: a host, ASCII alone, at most {_LONGEST_URL} characters"
        )
    if parts.username is not None or parts.password is not None or parts.fragment:
        raise Invalid("url: must have no user, no password and no fragment; put a token into its path or query")
    try:
        address = ip_address(host)
    except ValueError:
        return  # a name
    if not private and not is_public(address):
        raise Invalid(
            f"url: {host} is not an address of the public internet; the operator may allow any "
            "(METERHOUSE_WEBHOOK_ADDRESSES=any)"
        )


def digest(*parts: str) -> str:
    """128 bits that stand for some texts, in hex: the same for the same, wherever and whenever it is made."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:32]

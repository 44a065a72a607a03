"""Verifying webhooks, as https://www.standardwebhooks.com specifies them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec

from .errors import MeterhouseClientError

_PREFIX = "whsec_"


class WebhookInvalid(MeterhouseClientError):
    """A message that is not from the server, or too old: answer 401, and do nothing."""


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: str | Sequence[str],
    *,
    tolerance_s: int = 300,
    seconds: Callable[[], float] = time.time,
) -> Any:
    """The decoded message. `secrets` are those of the endpoint that are good at the moment; while one is rotated there
    are two. `webhook-id` is the same in every repetition of a message: keep it to do nothing twice. Raises
    `WebhookInvalid`."""
    lower = {name.lower(): text for name, text in headers.items()}
    try:
        message_id, at, signatures = (lower[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as missing:
        raise WebhookInvalid(f"the header {missing} is missing") from None
    if not at.isascii() or not at.isdigit() or len(at) > 12 or abs(seconds() - int(at)) > tolerance_s:
        raise WebhookInvalid(f"webhook-timestamp {at[:20]!r} is not within {tolerance_s} seconds of now")
    signed = f"{message_id}.{at}.".encode() + body
    given = [
        text.encode() for version, _, text in (each.partition(",") for each in signatures.split()) if version == "v1"
    ]
    for secret in [secrets] if isinstance(secrets, str) else secrets:
        try:
            key = base64.b64decode(secret.removeprefix(_PREFIX), validate=True)
        except (binascii.Error, ValueError):
            raise WebhookInvalid("the secret is not one: it is whsec_ and base64") from None
        expected = base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
        if any(hmac.compare_digest(expected, each) for each in given):
            return msgspec.json.decode(body)
    raise WebhookInvalid("no signature of the message is right")

"""Instants in seconds since 1970, for contracts that take and tell them so."""

from __future__ import annotations

from datetime import datetime, timedelta

from ..domain.errors import Invalid
from ..domain.period import EPOCH, FIRST_INSTANT, LAST_INSTANT

_SECOND = timedelta(seconds=1)
_MOST_DIGITS = 11


def parse_seconds(text: str) -> datetime:
    """The instant that a text of digits is. Raises `Invalid`."""
    if not text.isascii() or not text.isdigit() or len(text) > _MOST_DIGITS:
        raise Invalid("must be Unix seconds")
    at = EPOCH + int(text) * _SECOND
    if not FIRST_INSTANT <= at < LAST_INSTANT:
        raise Invalid("is no instant of an event")
    return at


def seconds(at: datetime) -> int:
    """An instant as it is told."""
    return (at - EPOCH) // _SECOND

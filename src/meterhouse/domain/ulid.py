"""ULIDs: ids of 26 characters that sort by the time at which they were made."""

from __future__ import annotations

from datetime import datetime, timedelta

from .period import EPOCH

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_LENGTH = 26
RANDOM_BYTES = 10


def ulid(at: datetime, random: bytes) -> str:
    """The id of a moment, to the millisecond, and of `RANDOM_BYTES` bytes."""
    milliseconds = max(0, (at - EPOCH) // timedelta(milliseconds=1))
    number = milliseconds << 8 * RANDOM_BYTES | int.from_bytes(random[:RANDOM_BYTES])
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))

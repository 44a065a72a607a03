"""Events: what happened, by whose account, and what a second delivery of the same may say."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from enum import StrEnum
from typing import TypeAlias

import msgspec

from .errors import Invalid
from .json_reading import Property, decode_data

MAX_TEXT = 512
"""Longest id, source, type and subject, in characters."""
MAX_DATA_BYTES = 65_536
"""Largest `data` of one event."""
SYSTEM_PREFIX = "meterhouse."
"""What the types of Meterhouse's own events begin with: they are about other events, and no meter reads them."""
OWN_SOURCES = ("meterhouse.", "meterhouse/")
"""What the sources of those begin with: nobody else's may, so that no identity of theirs is ever taken."""
ERASED = "erased:"
"""What stands in the place of something that was erased begins with it: it may have been anything."""
REDUCED = "meterhouse.reduced"
"""The member of `data` that tells that others were removed, because the event is old."""

Identity: TypeAlias = tuple[str, str, str, str]
"""Namespace, organization, source and id: what is counted once, as long as it is stored."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened; `organization` is the CloudEvent's subject."""

    namespace: str
    source: str
    id: str
    type: str
    organization: str
    time: datetime
    data: bytes
    """The JSON object as it was received, but for the spelling of integers of more than 64 bits."""
    numbers: dict[str, Decimal | int]
    """Every quantity in `data` by its path, but for those in arrays."""

    @property
    def identity(self) -> Identity:
        """What is counted once: different organizations may use the same source and id."""
        return self.namespace, self.organization, self.source, self.id

    @property
    def name(self) -> tuple[str, str]:
        """Source and id: what the sender calls it."""
        return self.source, self.id

    def same_content(self, other: Event) -> bool:
        """Whether a second delivery of this identity says the same: type and data, compared as JSON values.

        `time` is left out: a client that stamps each attempt anew is retrying, not contradicting itself. What was
        erased or removed of this one may have been what the other says.
        """
        return self.type == other.type and (
            self.data == other.data or _same(decode_data(self.data), decode_data(other.data))
        )


class Outcome(StrEnum):
    """What became of an event that was handed to the store."""

    INGESTED = "ingested"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"
    """Its identity is known with other content; the first one stands."""
    UNKNOWN_TARGET = "unknown_target"
    """It corrects an event that is not stored; it was not stored either."""


class Rejected(Invalid):
    """An event that cannot be taken, with the field at fault."""

    def __init__(self, code: str, message: str, event_id: str | None = None):
        super().__init__(message)
        self.code = code
        self.event_id = event_id


def _same(one: Property, other: Property) -> bool:
    """Equal as JSON values: 1 and 1.0 are, 1 and true are not, members have no order. What was erased of `one` is any
    text or number, and what was removed of either is anything."""
    if isinstance(one, str) and one.startswith(ERASED) and isinstance(other, str | int | Decimal):
        return True
    if isinstance(one, dict) and isinstance(other, dict):
        if REDUCED in one or REDUCED in other:
            return all(_agree(one[name], other[name]) for name in (one.keys() & other.keys()) - {REDUCED})
        return one.keys() == other.keys() and all(_same(one[name], other[name]) for name in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _agree(one: Property, other: Property) -> bool:
    """Whether they are the same as far as both tell. A number inside a reduced object has the digits of a double."""
    if isinstance(one, dict) and isinstance(other, dict):
        both = [(one[name], other[name]) for name in one.keys() & other.keys()]
        return all(_agree(*each) or all(type(number) in (int, Decimal) for number in each) for each in both)
    return _same(one, other)

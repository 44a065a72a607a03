"""Corrections: events that say of other events that they do not count after all. Nothing that was stored is changed."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

import msgspec
import xxhash

from .erasure import ERASURE, REMOVAL, Receipt
from .event import MAX_TEXT, Event, Rejected
from .json_reading import decode_data, numbers_in
from .period import format_instant
from .reservation import CLOSED, RESERVED, Close, Held
from .retention import RETENTION, Record

VOID = "meterhouse.void"
"""The event it names does not count, from this commit on."""
RESTORE = "meterhouse.restore"
"""The event it names counts again."""
ADD = "meterhouse.add"
"""The event it names was stored by a correction."""
CONFLICT = "meterhouse.conflict"
"""A delivery that says something else than the event that had its identity first; it counts nothing."""

EFFECTIVE_TYPES = frozenset({VOID, RESTORE})
STEPS = EFFECTIVE_TYPES | {ADD}
"""What a correction consists of."""
SOURCE = "meterhouse/corrections"
"""The source of the steps of corrections; the id of a step is that of its correction, a slash, and its number."""
CONFLICTS = "meterhouse/conflicts"

MAX_STEPS = 10_000
"""Most events that one correction is about."""

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]


class Named(msgspec.Struct, frozen=True):
    """An event of the same organization."""

    source: _Text
    id: _Text


class Step(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a correction says of one event of its organization; the `data` of events of the types above, except of
    conflicts."""

    source: _Text
    id: _Text
    correction: _Text
    steps: Annotated[int, msgspec.Meta(ge=1, le=MAX_STEPS)]
    """How many the correction has."""
    actor: _Text
    reason: _Text
    replaced_by: Named | None = None
    """VOID: the event that says it as it should have been said."""
    undoes: _Text | None = None
    """The correction that this one takes back."""


class Delivery(msgspec.Struct, frozen=True):
    """The `data` of a conflict: the event as it was delivered."""

    source: str
    id: str
    type: str
    subject: str
    time: str
    data: msgspec.Raw


_step = msgspec.json.Decoder(Step)
_delivery = msgspec.json.Decoder(Delivery)
_CONTENTS = {
    VOID: Step,
    RESTORE: Step,
    ADD: Step,
    CONFLICT: Delivery,
    ERASURE: Receipt,
    REMOVAL: dict,
    RETENTION: Record,
    RESERVED: Held,
    CLOSED: Close,
}
"""What the `data` of each of Meterhouse's own types says."""


def step_of(event: Event) -> Step:
    """What an event of type VOID, RESTORE or ADD says."""
    return _step.decode(event.data)


def delivery_of(event: Event) -> Delivery:
    """What an event of type CONFLICT says."""
    return _delivery.decode(event.data)


def check(event: Event) -> None:
    """Raises `Rejected` when an event of Meterhouse's own does not say what one of its type says."""
    content = _CONTENTS.get(event.type)
    if content is None:
        raise Rejected("invalid_event", f"there is no type {event.type[:60]!r} of Meterhouse's own", event.id)
    try:
        msgspec.json.decode(event.data, type=content)
    except msgspec.DecodeError as wrong:
        raise Rejected("invalid_event", f"data of {event.type}: {wrong}", event.id) from None


def conflict(first: Event, delivered: Event, at: datetime) -> Event:
    """What is kept of a delivery that contradicts the first one. The same contradiction has the same identity, so
    that repeating it adds nothing."""
    told = (delivered.source, delivered.id, delivered.type, delivered.organization)
    event_id = xxhash.xxh3_128_hexdigest("\0".join(told).encode() + b"\0" + delivered.data)
    said = Delivery(*told, format_instant(delivered.time), msgspec.Raw(delivered.data))
    data = msgspec.json.encode(said)
    return Event(
        first.namespace, CONFLICTS, event_id, CONFLICT, first.organization, at, data, numbers_in(decode_data(data))
    )

"""Reservations: amounts that are held for an organization before they are used.

They are events of Meterhouse's own, in the same commits as all others: as durable, as ordered, and as easy to explain.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

import msgspec

from .event import MAX_TEXT, Event
from .period import format_instant, parse_instant
from .quantity import parse_quantity, plain

RESERVED = "meterhouse.reservation"
"""The type of the event that makes a reservation."""
CLOSED = "meterhouse.reservation-closed"
"""The type of the event that ends one before its time."""
SOURCE = "meterhouse/reservations"
"""The source of both; the id of the first is that of its reservation."""
LONGEST = timedelta(hours=1)
"""The longest time for which something can be reserved."""

_Text = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]


class Closing(StrEnum):
    """How a reservation ended; one that nobody ended ends by itself."""

    COMMITTED = "committed"
    RELEASED = "released"


class Held(msgspec.Struct, frozen=True):
    """What the event says that makes a reservation."""

    meter: _Text
    amount: str
    expires_at: str
    properties: dict[str, str] = {}


class Close(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the event says that ends one."""

    reservation: _Text
    how: Closing
    event: tuple[str, str] | None = None
    """Source and id of the event that used it."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """An amount that is held."""

    id: str
    meter: str
    amount: Decimal
    properties: Mapping[str, str]
    """What limits by a property tell it apart by."""
    created_at: datetime
    expires_at: datetime

    def same_as(self, other: Reservation) -> bool:
        """Whether both hold the same: a repetition has times of its own."""
        mine = self.meter, self.amount, dict(self.properties), self.expires_at - self.created_at
        return mine == (other.meter, other.amount, dict(other.properties), other.expires_at - other.created_at)


_held = msgspec.json.Decoder(Held)
_close = msgspec.json.Decoder(Close)


def event_of(reservation: Reservation, namespace: str, organization: str) -> Event:
    """The event that makes it."""
    said = Held(
        reservation.meter,
        str(plain(reservation.amount)),
        format_instant(reservation.expires_at),
        dict(reservation.properties),
    )
    at, data = reservation.created_at, msgspec.json.encode(said)
    return Event(namespace, SOURCE, reservation.id, RESERVED, organization, at, data, {})


def reservation_of(event: Event) -> Reservation:
    """The reservation that an event of type `RESERVED` makes."""
    said = _held.decode(event.data)
    expires_at = parse_instant(said.expires_at)
    return Reservation(event.id, said.meter, parse_quantity(said.amount), said.properties, event.time, expires_at)


def closing_event(close: Close, namespace: str, organization: str, at: datetime) -> Event:
    """The event that ends a reservation: it can be ended once."""
    data = msgspec.json.encode(close)
    return Event(namespace, SOURCE, f"{close.reservation}/closed", CLOSED, organization, at, data, {})


def close_of(event: Event) -> Close:
    """What an event of type `CLOSED` says."""
    return _close.decode(event.data)

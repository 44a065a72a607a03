"""Erasure: what an event's data says of a person is replaced by a word that says nothing, and totals stay the same."""

from __future__ import annotations

from itertools import chain

import msgspec

from .errors import Invalid
from .event import ERASED, Event
from .json_reading import decode_data, numbers_in
from .meter import Meter

SOURCE = "meterhouse/erasures"
"""The source of receipts; the id of one is that of its erasure."""
ERASURE = "meterhouse.erasure"
"""The type of receipts."""

REMOVAL = "meterhouse.removal"
"""The type of what remains of a deleted organization: that its events were removed."""
REMOVALS = "meterhouse/removals"
"""The source of those; the id of one is the organization's."""


class Receipt(msgspec.Struct, frozen=True):
    """What an erasure did. What was erased is not in it."""

    property: str
    replaced_by: str
    events: int
    """How many were rewritten."""
    keys: int
    """How many of the organization's keys stood for it."""
    actor: str
    reason: str


def word_for(random: str) -> str:
    """What takes the place of everything that is erased at once, so that it is still told apart from the rest."""
    return f"{ERASED}{random}"


def check_property(path: str, meters: list[Meter]) -> None:
    """Raises `Invalid` for a property that totals are made of."""
    for meter in chain.from_iterable(each.meanings for each in meters):
        filtered = any(path == filter_path for filter_path, _ in meter.where)
        if path == meter.state or (meter.aggregation.numeric and path in meter.values) or filtered:
            raise Invalid(f"property: the meter {meter.slug!r} counts what {path!r} says; amend or void its events")


def erase(event: Event, path: str, word: str) -> Event:
    """The event with the property replaced, all else byte for byte as it was."""
    data = _replaced(event.data, path, msgspec.json.encode(word))
    return msgspec.structs.replace(event, data=data, numbers=numbers_in(decode_data(data)))


def _replaced(text: bytes, path: str, word: bytes) -> bytes:
    """The object with another value where `value_at` finds that of the path."""
    members = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    if path in members:
        return msgspec.json.encode({**members, path: msgspec.Raw(word)})
    name, _, rest = path.partition(".")
    return msgspec.json.encode({**members, name: msgspec.Raw(_replaced(bytes(members[name]), rest, word))})

"""What shards ask each other, and how it is written on the wire: MessagePack, whose types are checked when read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec

from ..domain import errors
from ..domain.errors import MeterhouseError
from ..domain.event import Event, Identity
from ..domain.event_search import EventSearch
from ..domain.listing import EventPosition, StoredEvent
from ..domain.loss import Loss
from ..domain.meter import Measure, MeterQuery, Ranking
from ..domain.partial_aggregate import Partial, PartialKey
from ..ports.event_store import EventStore

_ERRORS: Mapping[str, type[MeterhouseError]] = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, MeterhouseError)
}


@dataclass(frozen=True, slots=True)
class Call:
    """A question: the types of its arguments, and of its answer."""

    takes: Any
    gives: Any

    def encode_arguments(self, arguments: tuple[Any, ...]) -> bytes:
        """As they are sent."""
        return msgspec.msgpack.encode(arguments)

    def decode_answer(self, content: bytes) -> Any:
        """As it was given."""
        return msgspec.msgpack.decode(content, type=self.gives)

    def answer(self, method: Callable[..., Any], content: bytes) -> bytes:
        """What a method answers to arguments that were sent. Raises what it raises."""
        return msgspec.msgpack.encode(method(*msgspec.msgpack.decode(content, type=self.takes)))


CALLS: Mapping[str, Call] = {
    "check_room": Call(tuple[()], None),
    "commit_at": Call(tuple[datetime], int),
    "corrections_of": Call(tuple[Event], list[StoredEvent]),
    "count": Call(tuple[()], int),
    "distinct": Call(tuple[MeterQuery], dict[PartialKey, set[str]]),
    "find": Call(tuple[list[Identity]], list[StoredEvent]),
    "find_named": Call(tuple[str, list[tuple[str, str]]], list[StoredEvent]),
    "found": Call(tuple[EventSearch], int),
    "lag_events": Call(tuple[()], int),
    "latest_commit": Call(tuple[()], int),
    "losses": Call(tuple[()], list[Loss]),
    "measure": Call(tuple[MeterQuery], list[Measure]),
    "partials": Call(tuple[MeterQuery], dict[PartialKey, Partial]),
    "rank": Call(tuple[MeterQuery, int], Ranking),
    "rebuild": Call(tuple[()], None),
    "search": Call(tuple[EventSearch], list[StoredEvent]),
    "voided": Call(tuple[list[StoredEvent]], set[EventPosition]),
    "watermark": Call(tuple[()], int),
}
"""By the name of the method of `EventStore` that answers it."""


def answer_call(store: EventStore, name: str, content: bytes) -> bytes:
    """A store's answer to a call. Raises what its method raises."""
    return CALLS[name].answer(getattr(store, name), content)


def encode_error(error: MeterhouseError) -> bytes:
    """An error for whoever called, as the nearest kind that all layers know."""
    kind = next(kind for kind in type(error).__mro__ if _ERRORS.get(kind.__name__) is kind)
    return msgspec.msgpack.encode((kind.__name__, str(error)))


def decode_error(content: bytes) -> MeterhouseError:
    """The error that was sent."""
    name, message = msgspec.msgpack.decode(content, type=tuple[str, str])
    return _ERRORS[name](message)

"""Reading many events at once into columns, which costs a third of reading them one by one.

Only events that are regular in every respect are read here. Whatever is unusual about one of them is left to
`EventParser`, which knows what to say of it: the outcome is the same, event by event and byte by byte.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from itertools import chain
from typing import Any, TypeAlias

import msgspec

from .catalog import Catalog
from .envelope import Envelope, quotes_around_data
from .event import MAX_DATA_BYTES, OWN_SOURCES, SYSTEM_PREFIX, Event
from .event_sequence import LazyEvents
from .json_reading import MAX_DEPTH, NUMBER_STARTS, Property, fewest_quotes, numbers_in
from .period import parse_instant
from .quantity import from_units, units, units_of_text

Numbers: TypeAlias = dict[str, int]
"""The quantities of an event by their paths, in units of the 28th decimal place."""

_SHALLOW_BYTES = 2 * MAX_DEPTH
"""Data that is no longer cannot be nested too deeply."""
_SURE = 1 << 63
"""Every reader of JSON takes numbers below it."""

_all_members = msgspec.json.Decoder(list[dict[str, Any]], float_hook=Decimal)


class UnreadEvents(msgspec.Struct, frozen=True):
    """The events of one request, read as far as their envelopes."""

    catalog: Catalog
    """What they are read by."""
    envelopes: list[Envelope]
    quotes: int
    """How many quotation marks the request's body has."""
    received_at: datetime
    """The time of events that have none."""


@dataclass(frozen=True, slots=True)
class EventColumns(LazyEvents):
    """Events, a column for each attribute. Times are texts as they were sent, or instants.

    Columns are tuples: many of them stay in memory, and Python's garbage collector need not look through tuples of
    texts and numbers.
    """

    namespaces: tuple[str, ...]
    sources: tuple[str, ...]
    ids: tuple[str, ...]
    types: tuple[str, ...]
    organizations: tuple[str, ...]
    times: tuple[str | datetime, ...]
    data: tuple[bytes, ...]
    numbers: tuple[Numbers, ...]

    def __len__(self) -> int:
        """How many events there are."""
        return len(self.ids)

    def event(self, row: int) -> Event:
        """The event in that place."""
        time = self.times[row]
        return Event(
            self.namespaces[row],
            self.sources[row],
            self.ids[row],
            self.types[row],
            self.organizations[row],
            parse_instant(time) if isinstance(time, str) else time,
            self.data[row],
            {path: from_units(number) for path, number in self.numbers[row].items()},
        )

    def take(self, rows: Sequence[int]) -> EventColumns:
        """The events in these places."""
        return EventColumns(*(tuple([column[row] for row in rows]) for column in self._columns()))

    def _columns(self) -> tuple[Sequence[Any], ...]:
        return (
            *(self.namespaces, self.sources, self.ids, self.types),
            *(self.organizations, self.times, self.data, self.numbers),
        )


def read_columns(requests: Sequence[UnreadEvents]) -> EventColumns | None:
    """All events of all requests, in their order, each checked against the meters of its type. None when one of them
    takes a closer look.

    Times are not checked: their texts may be no instants.
    """
    envelopes = [*chain.from_iterable(request.envelopes for request in requests)]
    sources = tuple([each.source for each in envelopes])
    ids = tuple([each.id for each in envelopes])
    types = tuple([each.type for each in envelopes])
    organizations = tuple([each.subject for each in envelopes])
    data = tuple([bytes(each.data) for each in envelopes])
    if not _are_plain(sources, types) or not "".join(chain(sources, ids, types, organizations)).isprintable():
        return None
    if not all(map(_is_shallow, data)) or (members := _decode_members(data)) is None:
        return None
    numbers = _numbers(requests, iter(members))
    return (
        None
        if numbers is None
        else EventColumns(
            namespaces=tuple([request.catalog.namespace for request in requests for _ in request.envelopes]),
            sources=sources,
            ids=ids,
            types=types,
            organizations=organizations,
            times=tuple(
                [
                    request.received_at if each.time is None else each.time
                    for request in requests
                    for each in request.envelopes
                ]
            ),
            data=data,
            numbers=tuple(numbers),
        )
    )


def _numbers(requests: Sequence[UnreadEvents], members: Iterator[dict[str, Property]]) -> list[Numbers] | None:
    """The quantities of each event; None when a meter may not find what it needs, or a name may be repeated."""
    every: list[Numbers] = []
    quotes = 0
    for request in requests:
        quotes += quotes_around_data(request.envelopes)
        needs_of_type = request.catalog.needs
        for each, values in zip(request.envelopes, members, strict=False):
            if (found := _numbers_and_quotes(values)) is None:
                return None
            numbers, of_data = found
            needs = needs_of_type.get(each.type)
            if needs is not None and not needs.met(values, numbers):
                return None
            quotes += of_data
            every.append(numbers)
    # No event has fewer, so that with as many in all none has more, and no object has a name twice.
    return every if quotes == sum(request.quotes for request in requests) else None


def _are_plain(sources: Iterable[str], types: Iterable[str]) -> bool:
    """Whether none of them is Meterhouse's own, and no source is nothing but slashes."""
    different = {*sources}
    return not (
        any(source.startswith(OWN_SOURCES) or not source.strip("/") for source in different)
        or any(event_type.startswith(SYSTEM_PREFIX) for event_type in {*types})
    )


def _is_shallow(data: bytes) -> bool:
    return len(data) <= _SHALLOW_BYTES or (
        len(data) <= MAX_DATA_BYTES and data.count(b"{") + data.count(b"[") <= MAX_DEPTH
    )


def _decode_members(data: Sequence[bytes]) -> list[dict[str, Property]] | None:
    """Each of them is sound JSON on its own, so that joining them moves nothing from one to another."""
    try:
        members: list[dict[str, Property]] = _all_members.decode(b"[%b]" % b",".join(data))
    except (msgspec.DecodeError, InvalidOperation, RecursionError, UnicodeDecodeError):
        return None
    return members if len(members) == len(data) else None


def _numbers_and_quotes(values: dict[str, Property]) -> tuple[Numbers, int] | None:
    """The quantities of an event's data, and how many quotation marks the data has at least. None when a number may be
    beyond what every reader of JSON takes."""
    numbers: Numbers = {}
    quotes = 2 * len(values)
    for name, value in values.items():
        if type(value) is str:
            quotes += 2
            if value[:1] in NUMBER_STARTS and (number := units_of_text(value)) is not None:
                numbers[name] = number
        elif type(value) is int or type(value) is Decimal:
            if not -_SURE < value < _SURE:
                return None
            if type(value) is int:
                numbers[name] = units(value)
            elif (number := units_of_text(str(value))) is not None:
                numbers[name] = number
        elif value is not None and type(value) is not bool:
            of_data = fewest_quotes(values)
            found = {path: units(each) for path, each in numbers_in(values).items()}
            return None if of_data is None else (found, of_data)
    return numbers, quotes

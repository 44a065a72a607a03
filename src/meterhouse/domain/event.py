"""Events: CloudEvents 1.0, checked one by one so that a bad one never takes its neighbours with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from typing import Annotated, Any, Literal, TypeAlias

import msgspec

from .errors import Invalid
from .meter import Aggregation, Meter
from .period import parse_instant
from .quantity import MAX_DIGITS, parse_quantity, plain

MAX_TEXT = 512
"""Longest id, source, type and subject, in characters."""
MAX_DATA_BYTES = 65_536
"""Largest `data` of one event."""
OWN = "meterhouse."
"""What the types of Meterhouse's own events begin with: they are about other events, and no meter reads them."""
ERASED = "erased:"
"""What stands in the place of something that was erased begins with it: it may have been anything."""
REDUCED = "meterhouse.reduced"
"""The member of `data` that tells that others were removed, because the event is old."""
MAX_DEPTH = 64
"""How deeply `data` may be nested."""

Identity: TypeAlias = tuple[str, str, str]
"""Namespace, source and id: what is counted once, forever."""

Property: TypeAlias = "str | int | Decimal | bool | list[Property] | dict[str, Property] | None"


class Event(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened. Its identity is (namespace, source, id); `organization` is the CloudEvent's subject."""

    namespace: str
    source: str
    id: str
    type: str
    organization: str
    time: datetime
    data: bytes
    """The JSON object as it was received, but for the spelling of integers of more than 64 bits."""
    numbers: dict[str, Decimal | int]
    """Every top-level member of `data` that is a quantity."""

    @property
    def identity(self) -> Identity:
        """What is counted once, forever."""
        return self.namespace, self.source, self.id

    def same_content(self, other: Event) -> bool:
        """Whether a second delivery says the same: subject, type and data, compared as JSON values.

        `time` is left out: a client that stamps each attempt anew is retrying, not contradicting itself. What was
        erased or removed of this one may have been what the other says.
        """
        return (self.organization, self.type) == (other.organization, other.type) and (
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


class _Envelope(msgspec.Struct):
    """The attributes of a CloudEvent that are read. Extension attributes are permitted and ignored."""

    id: object = None
    source: object = None
    type: object = None
    subject: object = None
    specversion: object = None
    time: object = None
    data: msgspec.Raw = msgspec.Raw(b"")
    data_base64: object = None


# A number of any size is no text: kept as bytes it is refused like every other thing that is none.
_envelope = msgspec.json.Decoder(_Envelope, float_hook=str.encode)


_Text: TypeAlias = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_TEXT)]


class _Regular(msgspec.Struct, gc=False):
    """The attributes of a CloudEvent that has all of them, as they should be."""

    id: _Text
    source: _Text
    type: _Text
    subject: _Text
    specversion: Literal["1.0"]
    data: msgspec.Raw
    time: str | None = None
    data_base64: None = None


_regular = msgspec.json.Decoder(_Regular)

_SHALLOW_BYTES = 2 * MAX_DEPTH
"""Data that is no longer cannot be nested too deeply."""


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


_LONG_NUMBER = re.compile(rb"\d{19}|[eE]\+?\d{3}")
"""What a number has that not every reader of JSON can take; texts may have it too."""
_TEXT_OR_NUMBER = re.compile(rb'"(?:[^"\\]|\\.)*"|-?\d[-+.\deE]*', re.DOTALL)
_64_BITS = (Decimal(-(1 << 63)), Decimal((1 << 64) - 1))


def _readable(data: bytes) -> bytes:
    """The same values, spelled so that any reader of JSON takes them all: one that sees a number it cannot hold may
    read nothing else of the data either. Integers of more than 64 bits get an exponent of 0. Raises `Invalid` for what
    is beyond even a double."""

    def spelled(token: re.Match[bytes]) -> bytes:
        text = token[0]
        if text.startswith(b'"'):
            return text
        try:
            number = Decimal(text.decode())
            too_large = number.adjusted() > _LARGEST_EXPONENT
        except InvalidOperation:
            too_large = True
        if too_large:
            raise Invalid(f"{text[:40].decode()} is a number beyond 1e308: send it as a text")
        whole = text.lstrip(b"-").isdigit()
        return text + b"e0" if whole and not _64_BITS[0] <= number <= _64_BITS[1] else text

    return _TEXT_OR_NUMBER.sub(spelled, data) if _LONG_NUMBER.search(data) else data


_LARGEST_EXPONENT = 307


def _depth(data: bytes) -> int:
    """How deeply arrays and objects are nested in sound JSON."""
    depth = deepest = 0
    for mark in _MARKS.finditer(data):
        if mark[0] in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif mark[0] in b"]}":
            depth -= 1
    return deepest


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{}]', re.DOTALL)


def _read_number(text: str) -> Decimal | str:
    try:
        return Decimal(text)
    except InvalidOperation:
        return text  # an exponent beyond all reason: no quantity, but no reason to fail either


_value = msgspec.json.Decoder(float_hook=_read_number)
_members: msgspec.json.Decoder[dict[str, Property]] = msgspec.json.Decoder(dict[str, Any], float_hook=_read_number)


def decode_data(data: bytes) -> Property:
    """`data` as Python values, numbers as exact decimals."""
    return _value.decode(data)  # type: ignore[no-any-return] # JSON is what it is


class EventParser:
    """Reads the events of one namespace, each validated against the meters of its type.

    Nearly every event is regular, and is read by compiled code with a few checks around it. Whatever these do not
    settle at a glance is read again, field by field, by the code that knows what to say of it: the outcome is the same.
    """

    def __init__(self, namespace: str, meters: Mapping[str, Sequence[Meter]], *, own: bool = False):
        """`meters` are those of the namespace, by event type. `own` lets Meterhouse's own types pass."""
        self._namespace = namespace
        self._own = own
        self._meters = meters
        self._needs = {event_type: _needs(reading) for event_type, reading in meters.items()}

    def parse(self, raw: bytes, received_at: datetime) -> Event:
        """One CloudEvent in JSON. An event without `time` gets `received_at`.

        Raises `Rejected`, with a stable code: `invalid_event`, `invalid_time`, `invalid_value`, `too_large`.
        """
        return self._regular(raw, received_at) or self.parse_carefully(raw, received_at)

    def _regular(self, raw: bytes, received_at: datetime) -> Event | None:
        """The event, unless there is anything about it that takes a closer look."""
        if rb"\u0000" in raw:
            return None
        try:
            envelope = _regular.decode(raw)
            data = bytes(envelope.data)
            if len(data) > _SHALLOW_BYTES and (
                len(data) > MAX_DATA_BYTES or data.count(b"{") + data.count(b"[") > MAX_DEPTH
            ):
                return None
            if _LONG_NUMBER.search(data):
                return None
            values = _members.decode(data)
            time = received_at if envelope.time is None else parse_instant(envelope.time)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError, Invalid):
            return None
        numbers = _numbers(values)
        needs = self._needs.get(envelope.type, _NOTHING)
        if needs is None or not needs.met(values, numbers) or (needs is _NOTHING and envelope.type.startswith(OWN)):
            return None
        return Event(
            self._namespace, envelope.source, envelope.id, envelope.type, envelope.subject, time, data, numbers
        )

    def parse_carefully(self, raw: bytes, received_at: datetime) -> Event:
        """What `parse` does, field by field."""
        try:
            envelope = _envelope.decode(raw)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as wrong:
            raise Rejected("invalid_event", f"not a CloudEvent: {wrong}") from None
        event_id = envelope.id if isinstance(envelope.id, str) else None
        shown_id = event_id[:MAX_TEXT] if event_id is not None else None
        try:
            if envelope.specversion != "1.0":
                raise Rejected("invalid_event", 'specversion must be "1.0"')
            event_type = _attribute("type", envelope.type)
            if event_type.startswith(OWN) and not self._own:
                raise Rejected("invalid_event", f"types that begin with {OWN!r} are Meterhouse's own: use another one")
            organization = _attribute("subject", envelope.subject, " (the organization)")
            data, values = _data(envelope)
            numbers = _numbers(values)
            for meter in self._meters.get(event_type, ()):
                _check(meter, values, numbers)
            try:
                data = _readable(data)
            except Invalid as wrong:
                raise Rejected("invalid_event", f"data: {wrong}") from None
            return Event(
                namespace=self._namespace,
                source=_attribute("source", envelope.source),
                id=_attribute("id", envelope.id),
                type=event_type,
                organization=organization,
                time=received_at if envelope.time is None else _time(envelope.time),
                data=data,
                numbers=numbers,
            )
        except Rejected as rejected:
            rejected.event_id = shown_id
            raise


def parse_event(raw: bytes, namespace: str, meters: Mapping[str, Sequence[Meter]], received_at: datetime) -> Event:
    """One event, where a parser is not worth keeping. Raises `Rejected`."""
    return EventParser(namespace, meters).parse_carefully(raw, received_at)


class _Needs(msgspec.Struct):
    """What leaves none of the meters of an event type in doubt."""

    numbers: frozenset[str] = frozenset()
    optional_numbers: tuple[str, ...] = ()
    texts: tuple[tuple[str, bool, tuple[str, ...]], ...] = ()
    """Name, whether it may be absent, and the texts it may be; none for any."""

    def met(self, values: dict[str, Property], numbers: dict[str, Decimal | int]) -> bool:
        """Whether the event surely has all of it."""
        if not self.numbers <= numbers.keys():
            return False
        for name in self.optional_numbers:
            if name not in numbers and values.get(name) is not None:
                return False
        for name, optional, known in self.texts:
            text = values.get(name)
            if text is None and optional:
                continue
            if type(text) is not str or not text or (known and text not in known):
                return False
        return True


_NOTHING = _Needs()


def _needs(meters: Sequence[Meter]) -> _Needs | None:
    """None when a meter reads below the top level, where only a closer look tells."""
    numeric = [meter for meter in meters if meter.aggregation.numeric]
    texts: list[tuple[str, bool, tuple[str, ...]]] = []
    for meter in meters:
        if not meter.aggregation.numeric:
            texts += [(name, meter.optional, meter.states if name == meter.state else ()) for name in _texts(meter)]
    if any("." in name for name, _, _ in texts):
        return None
    return _Needs(
        frozenset(name for meter in numeric if not meter.optional for name in meter.values),
        tuple({name for meter in numeric if meter.optional for name in meter.values}),
        tuple(texts),
    )


def _attribute(name: str, value: object, meaning: str = "") -> str:
    if value is None:
        raise Rejected("invalid_event", f"{name}{meaning} is missing")
    if not isinstance(value, str) or not value:
        raise Rejected("invalid_event", f"{name}{meaning} must be a string that is not empty")
    if len(value) > MAX_TEXT:
        raise Rejected("invalid_event", f"{name}{meaning} has {len(value)} characters; {MAX_TEXT} are allowed")
    if "\0" in value:
        raise Rejected("invalid_event", f"{name}{meaning} contains a NUL character")
    return value


def _time(value: object) -> datetime:
    if not isinstance(value, str):
        raise Rejected("invalid_time", "time must be a string, like 2026-01-31T09:30:00Z")
    try:
        return parse_instant(value)
    except Invalid as wrong:
        raise Rejected("invalid_time", f"time: {wrong}") from None


def _data(envelope: _Envelope) -> tuple[bytes, dict[str, Property]]:
    """The object as it was sent, and as values."""
    if envelope.data_base64 is not None:
        raise Rejected("invalid_event", "data_base64 is not supported: send data as a JSON object")
    data = bytes(envelope.data) or b"{}"
    if data == b"null":
        data = b"{}"
    if len(data) > MAX_DATA_BYTES:
        raise Rejected("too_large", f"data has {len(data)} bytes; {MAX_DATA_BYTES} are allowed")
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and _depth(data) > MAX_DEPTH:
        raise Rejected("invalid_event", f"data is nested more than {MAX_DEPTH} levels deep")
    try:
        values = decode_data(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as wrong:
        raise Rejected("invalid_event", f"data is not JSON: {wrong}") from None
    if not isinstance(values, dict):
        raise Rejected("invalid_event", "data must be a JSON object")
    return data, values


def numbers_in(data: Property) -> dict[str, Decimal | int]:
    """Every top-level member of an event's data that is a quantity."""
    return _numbers(data) if isinstance(data, dict) else {}


def _numbers(values: dict[str, Property]) -> dict[str, Decimal | int]:
    found: dict[str, Decimal | int] = {}
    for name, value in values.items():
        if type(value) is int and -_TOO_LONG < value < _TOO_LONG:
            found[name] = value
            continue
        if type(value) is str and value[:1] not in _NUMBER_STARTS:
            continue
        try:
            number = _quantity(value)
        except Invalid:
            continue  # no quantity; where a meter reads it, _check refuses the event
        if number is not None:
            found[name] = number
    return found


_TOO_LONG = 10**MAX_DIGITS


def _quantity(value: Property) -> Decimal | None:
    """The number in a JSON value; None when it is not meant as one."""
    if isinstance(value, str):
        return parse_quantity(value) if value[:1] in _NUMBER_STARTS else None
    if isinstance(value, bool) or not isinstance(value, int | Decimal):
        return None
    return parse_quantity(str(value))


_NUMBER_STARTS = frozenset("-0123456789")


def _check(meter: Meter, values: dict[str, Property], numbers: dict[str, Decimal | int]) -> None:
    """Raises `Rejected` unless the meter can read what it needs from the event."""
    if meter.aggregation.numeric:
        for name in meter.values:
            if name in numbers:
                continue
            value = values.get(name)
            if value is None:
                if meter.optional:
                    continue
                raise Rejected("invalid_value", f"data.{name} is missing; the meter {meter.slug!r} needs it")
            try:
                _quantity(value)
            except Invalid as wrong:
                raise Rejected("invalid_value", f"data.{name}: {wrong}") from None
            raise Rejected("invalid_value", f"data.{name} must be a number or a decimal string, not {_show(value)}")
        return
    for name in _texts(meter):
        text = read_text(values, name)
        if not text and meter.optional:
            continue
        if not text:
            raise Rejected("invalid_value", f"data.{name} is missing; the meter {meter.slug!r} needs it")
        if name == meter.state and meter.states and text not in meter.states:
            known = ", ".join(meter.states)
            raise Rejected("invalid_value", f"data.{name} is {text[:60]!r}; the meter {meter.slug!r} knows {known}")


def _texts(meter: Meter) -> list[str]:
    """The properties that a meter reads as text."""
    names = meter.values if meter.aggregation is Aggregation.UNIQUE_COUNT else (meter.entity, meter.state)
    return [name for name in names if name]


def _show(value: Property) -> str:
    return msgspec.json.encode(value)[:60].decode("utf-8", "replace")


def read_text(data: Property, path: str) -> str:
    """The text of a property by its dotted path: strings as they are, booleans as JSON, numbers without exponent and
    without trailing zeros; "" for anything else."""
    for name in path.split("."):
        if not isinstance(data, dict):
            return ""
        data = data.get(name)
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, str):
        return data
    if not isinstance(data, int | Decimal):
        return ""
    try:
        return format(plain(parse_quantity(str(data))), "f")
    except Invalid:
        return ""  # too long to be a quantity, and so to be a name

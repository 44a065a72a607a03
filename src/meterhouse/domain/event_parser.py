"""Reading CloudEvents 1.0, one by one, so that a bad one never takes its neighbours with it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import InvalidOperation

import msgspec

from .envelope import decode_envelope, quotes_around_data
from .errors import Invalid
from .event import MAX_DATA_BYTES, MAX_TEXT, OWN_SOURCES, SYSTEM_PREFIX, Event, Rejected
from .json_reading import (
    MAX_DEPTH,
    Property,
    decode_data,
    decode_members,
    depth,
    fewest_quotes,
    numbers_in,
    readable,
    repeated_name,
)
from .meter import Meter
from .meter_needs import NOTHING_NEEDED, check_meter, needs_of
from .period import parse_instant


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

_SHALLOW_BYTES = 2 * MAX_DEPTH
"""Data that is no longer cannot be nested too deeply."""


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
        self._needs = {event_type: needs_of(reading) for event_type, reading in meters.items()}

    def parse(self, raw: bytes, received_at: datetime) -> Event:
        """One CloudEvent in JSON. An event without `time` gets `received_at`.

        Raises `Rejected`, with a stable code: `invalid_event`, `invalid_time`, `invalid_value`, `too_large`.
        """
        return self._regular(raw, received_at) or self.parse_carefully(raw, received_at)

    def _regular(self, raw: bytes, received_at: datetime) -> Event | None:
        """The event, unless there is anything about it that takes a closer look."""
        try:
            envelope = decode_envelope(raw)
            data = bytes(envelope.data)
            if len(data) > _SHALLOW_BYTES and (
                len(data) > MAX_DATA_BYTES or data.count(b"{") + data.count(b"[") > MAX_DEPTH
            ):
                return None
            values = decode_members(data)
            time = received_at
            if envelope.time is not None:
                time = parse_instant(envelope.time)
            if (of_data := fewest_quotes(values)) is None:
                return None
            if raw.count(b'"') != quotes_around_data([envelope]) + of_data and repeated_name(raw) is not None:
                return None
        except (msgspec.DecodeError, InvalidOperation, RecursionError, UnicodeDecodeError, Invalid):
            return None
        source, event_id, event_type, organization = envelope.source, envelope.id, envelope.type, envelope.subject
        if not (source + event_id + event_type + organization).isprintable() or source.startswith(OWN_SOURCES):
            return None
        if source[0] == "/" and not source.strip("/"):
            return None
        numbers = numbers_in(values)
        needs = self._needs.get(event_type, NOTHING_NEEDED)
        if not needs.met(values, numbers) or (needs is NOTHING_NEEDED and event_type.startswith(SYSTEM_PREFIX)):
            return None
        return Event(self._namespace, source, event_id, event_type, organization, time, data, numbers)

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
            source = _attribute("source", envelope.source)
            if not source.strip("/"):
                raise Rejected("invalid_event", "source is nothing but slashes: the event could not be looked up")
            self._check_ownership(event_type, source)
            organization = _attribute("subject", envelope.subject, " (the organization)")
            data, values = _data(envelope)
            _check_names(raw)
            numbers = numbers_in(values)
            time = received_at if envelope.time is None else _time(envelope.time)
            for meter in self._meters.get(event_type, ()):
                check_meter(meter.meant_at(time), values, numbers)
            try:
                data = readable(data)
            except Invalid as wrong:
                raise Rejected("invalid_event", f"data: {wrong}") from None
            return Event(
                namespace=self._namespace,
                source=source,
                id=_attribute("id", envelope.id),
                type=event_type,
                organization=organization,
                time=time,
                data=data,
                numbers=numbers,
            )
        except Rejected as rejected:
            rejected.event_id = shown_id
            raise

    def _check_ownership(self, event_type: str, source: str) -> None:
        """Raises `Rejected` for what only Meterhouse itself may say."""
        own_type, own_source = event_type.startswith(SYSTEM_PREFIX), source.startswith(OWN_SOURCES)
        if own_type and not self._own:
            raise Rejected(
                "invalid_event", f"types that begin with {SYSTEM_PREFIX!r} are Meterhouse's own: use another one"
            )
        if own_source and not (own_type and self._own):
            known = " or ".join(map(repr, OWN_SOURCES))
            raise Rejected("invalid_event", f"sources that begin with {known} are Meterhouse's own: use another one")
        if own_type and not own_source:
            raise Rejected("invalid_event", f"an event of the type {event_type[:60]!r} has one of Meterhouse's sources")


def parse_event(raw: bytes, namespace: str, meters: Mapping[str, Sequence[Meter]], received_at: datetime) -> Event:
    """One event, where a parser is not worth keeping. Raises `Rejected`."""
    return EventParser(namespace, meters).parse_carefully(raw, received_at)


def _attribute(name: str, value: object, meaning: str = "") -> str:
    if value is None:
        raise Rejected("invalid_event", f"{name}{meaning} is missing")
    if not isinstance(value, str) or not value:
        raise Rejected("invalid_event", f"{name}{meaning} must be a string that is not empty")
    if len(value) > MAX_TEXT:
        raise Rejected("invalid_event", f"{name}{meaning} has {len(value)} characters; {MAX_TEXT} are allowed")
    if (control := _CONTROL.search(value)) is not None:
        raise Rejected("invalid_event", f"{name}{meaning} contains the control character U+{ord(control[0]):04X}")
    return value


_CONTROL = re.compile("[\0-\x1f\x7f-\x9f]")


def _check_names(raw: bytes) -> None:
    try:
        repeated = repeated_name(raw)
    except (RecursionError, UnicodeDecodeError) as wrong:
        raise Rejected("invalid_event", f"not a CloudEvent: {wrong}") from None
    if repeated is not None:
        raise Rejected("invalid_event", f"{repeated[:MAX_TEXT]} is there twice: say it once")


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
    if data.count(b"{") + data.count(b"[") > MAX_DEPTH and depth(data) > MAX_DEPTH:
        raise Rejected("invalid_event", f"data is nested more than {MAX_DEPTH} levels deep")
    try:
        values = decode_data(data)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as wrong:
        raise Rejected("invalid_event", f"data is not JSON: {wrong}") from None
    if not isinstance(values, dict):
        raise Rejected("invalid_event", "data must be a JSON object")
    return data, values

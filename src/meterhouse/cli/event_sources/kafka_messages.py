"""Messages of Kafka as CloudEvents: in structured mode, or in binary mode with `ce_` headers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any, cast

import msgspec
from confluent_kafka import Message

from ..ingesting.json_records import ON_ONE_LINE
from ..ingesting.records import NoEvent, Record

_ATTRIBUTE = "ce_"
_STRUCTURED = "application/cloudevents+json"
_JSON = ("application/json", "text/json")


def record_of(message: Message) -> Record:
    """The event of a message; what is kept of one that is refused says where it was."""
    place = f"{message.topic()} [{message.partition()}] at {message.offset()}"
    headers = _headers(message)
    original = msgspec.json.encode(_kept(message, headers)) + b"\n"
    try:
        return Record(place, original, _event(message.value(), headers))
    except NoEvent as why:
        return Record(place, original, None, str(why))


def _headers(message: Message) -> dict[str, bytes | None]:
    pairs = cast("list[tuple[str, bytes | None]]", message.headers() or [])
    return {name.lower(): value for name, value in pairs}


def _event(value: bytes | None, headers: Mapping[str, bytes | None]) -> bytes:
    kind = _text(headers, "content-type").partition(";")[0].strip().lower()
    if kind.startswith("application/cloudevents"):
        if kind != _STRUCTURED:
            raise NoEvent(f"the message is {kind[:60]}; a structured event is {_STRUCTURED}")
        return _one_object(value, "the message")
    if f"{_ATTRIBUTE}specversion" not in headers:
        return _one_object(value, "the message")
    if kind and kind not in _JSON and not kind.endswith("+json"):
        raise NoEvent(f"the data of the event is {kind[:60]}; it must be application/json")
    event: dict[str, Any] = {
        name.removeprefix(_ATTRIBUTE): _text(headers, name) for name in headers if name.startswith(_ATTRIBUTE)
    }
    if value:
        event["data"] = msgspec.Raw(_one_object(value, "the data of the event"))
    return msgspec.json.encode(event)


def _one_object(value: bytes | None, what: str) -> bytes:
    """A JSON object, on one line. Line breaks stand between values only, where a space means the same."""
    if not value:
        raise NoEvent(f"{what} is empty")
    try:
        value.decode()
        raw = bytes(msgspec.json.decode(value, type=msgspec.Raw))
    except (msgspec.DecodeError, UnicodeDecodeError) as wrong:
        raise NoEvent(f"{what} is not JSON: {wrong}") from None
    if not raw.startswith(b"{"):
        raise NoEvent(f"{what} is no JSON object")
    return raw.translate(ON_ONE_LINE)


def _text(headers: Mapping[str, bytes | None], name: str) -> str:
    value = headers.get(name)
    try:
        return (value or b"").decode()
    except UnicodeDecodeError:
        raise NoEvent(f"the header {name[:60]} is not UTF-8") from None


def _kept(message: Message, headers: Mapping[str, bytes | None]) -> dict[str, Any]:
    """All there is in a message, to be mended."""
    return {
        "topic": message.topic(),
        "partition": message.partition(),
        "offset": message.offset(),
        "key": _shown(message.key()),
        "headers": {name: _shown(value) for name, value in headers.items()},
        "value": _shown(message.value()),
    }


def _shown(value: bytes | str | None) -> Any:
    """Bytes as text, or as `{"base64": …}` where they are none."""
    if not isinstance(value, bytes):
        return value
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}

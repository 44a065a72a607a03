"""Meter events."""

from __future__ import annotations

import hashlib
import uuid

import msgspec

from ...domain.errors import Invalid
from ...domain.event import Rejected
from ...domain.event_parser import EventParser
from ...domain.period import format_instant
from ...domain.quantity import parse_quantity
from ...services.ingest import Report
from ..namespace_contract import Call, Ingestion, Refuse, Reply, Services
from ..unix_seconds import seconds
from .meters import billing_meters
from .wire import NAME, Form, bad_parameter, instant

_MAX_IDENTIFIER = 100


def create_event(call: Call, services: Services) -> Ingestion:
    """Takes an event. One without an identifier has the request's `Idempotency-Key` as its own, which is the same on
    each try."""
    form = Form.of_body(call)
    event_name, payload = form.need("event_name"), form.object_of("payload")
    identifier = form.get("identifier") or _identifier(call, services)
    timestamp = form.get("timestamp")
    form.refuse_others()
    if len(identifier) > _MAX_IDENTIFIER:
        raise bad_parameter("identifier", f"Invalid identifier: at most {_MAX_IDENTIFIER} characters")
    at = call.now if timestamp is None else instant("timestamp", timestamp)
    meter = next(
        (
            each
            for each in billing_meters(call, services)
            if each.event_name == event_name and each.deactivated_at is None
        ),
        None,
    )
    if meter is None:
        told = f"No active meter found with event_name '{event_name[:100]}'"
        raise bad_parameter("event_name", told, "resource_missing")
    customer = payload.get(meter.customer_key)
    if not customer:
        told = f"Missing required param: payload[{meter.customer_key}]."
        raise bad_parameter(f"payload[{meter.customer_key}]", told, "parameter_missing")
    if meter.formula != "count":
        _check_number(f"payload[{meter.value_key}]", payload.get(meter.value_key, ""))
    event = {
        "specversion": "1.0",
        "id": identifier,
        "source": NAME,
        "type": event_name,
        "subject": customer,
        "time": format_instant(at),
        "data": payload,
    }
    raw = msgspec.json.encode(event)
    try:
        EventParser(call.namespace, {}).parse(raw, call.now)
    except Rejected as wrong:
        raise Refuse(400, str(wrong)) from None

    def stored(report: Report) -> Reply:
        if report.conflicts:
            told = f"An event already exists with identifier {identifier}, and says something else"
            raise Refuse(400, told, param="identifier")
        if report.rejected:
            raise Refuse(400, report.errors[0].message)
        return Reply(
            200,
            {
                "object": "billing.meter_event",
                "created": seconds(call.now),
                "event_name": event_name,
                "identifier": identifier,
                "livemode": False,
                "payload": payload,
                "timestamp": seconds(at),
            },
        )

    return Ingestion((raw,), stored)


def _identifier(call: Call, services: Services) -> str:
    """The identifier of an event that was sent without one. A key may be longer than an identifier."""
    key = call.headers.get("idempotency-key")
    if not key:
        return str(uuid.UUID(bytes=services.random_bytes(16), version=4))
    return key if len(key) <= _MAX_IDENTIFIER else hashlib.sha256(key.encode()).hexdigest()


def _check_number(name: str, text: str) -> None:
    try:
        parse_quantity(text)
    except Invalid:
        raise bad_parameter(name, f"Invalid {name}: '{text[:60]}' is not a number") from None

"""Cancelling meter events."""

from __future__ import annotations

import hashlib

from ...services.correction_parts import Draft
from ...services.named_events import EventName
from ..namespace_contract import Call, Reply, Services
from .wire import NAME, Form, bad_parameter


def create_adjustment(call: Call, services: Services) -> Reply:
    """Cancels an event, however old it is: a correction voids it, and can be undone."""
    form = Form.of_body(call)
    event_name = form.need("event_name")
    form.need("type")
    form.choice("type", ["cancel"])
    identifier = form.need("cancel[identifier]")
    form.refuse_others()
    stored = [
        each
        for each in services.events.find_named(call.namespace, [(NAME, identifier)])
        if each.event.type == event_name
    ]
    if not stored:
        told = f"No meter event found with identifier '{identifier[:100]}'"
        raise bad_parameter("cancel[identifier]", told, "resource_missing")
    for each in stored:
        event = each.event
        if each.at in services.events.voided([each]):
            continue
        name = EventName(event.source, event.id, event.organization)
        told = hashlib.sha256("\0".join((event.organization, event_name, identifier)).encode()).hexdigest()[:32]
        draft = Draft(call.actor, "cancelled by a meter event adjustment", f"stripe-{told}", [name], [], [])
        services.corrections.correct(call.namespace, draft, preview=False)
    return Reply(
        200,
        {
            "object": "billing.meter_event_adjustment",
            "cancel": {"identifier": identifier},
            "event_name": event_name,
            "livemode": False,
            "status": "complete",
            "type": "cancel",
        },
    )

"""Lago: events, and the current usage of a subscription."""

from __future__ import annotations

from ...domain.operator_key import Role
from ..contract import bearer
from ..namespace_contract import NamespaceContract, Operation
from . import current_usage, events
from .wire import NAME, LagoOptions, refuse

CONTRACT = NamespaceContract(
    name=NAME,
    title="Lago events and current usage",
    source="https://getlago.com/docs/api-reference, and what its clients send",
    credential=bearer,
    refuse=refuse,
    options=LagoOptions(),
    operations=(
        Operation("POST", "/api/v1/events", events.create_event, "Create an event", Role.INGEST),
        Operation("POST", "/api/v1/events/batch", events.create_events, "Create up to 100 events", Role.INGEST),
        Operation("GET", "/api/v1/events", events.list_events, "List events"),
        Operation("GET", "/api/v1/events/{transaction}", events.get_event, "Get an event"),
        Operation(
            "GET",
            "/api/v1/customers/{customer}/current_usage",
            current_usage.current_usage,
            "The usage of a subscription in its usage period",
        ),
    ),
)

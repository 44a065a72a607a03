"""Stripe: billing meters, their events, adjustments and summaries, of version 1 of its API."""

from __future__ import annotations

from ...domain.operator_key import Role
from ..namespace_contract import NamespaceContract, Operation
from . import adjustments, events, meters, summaries
from .wire import NAME, credential, refuse

_METER = "/v1/billing/meters/{meter}"

CONTRACT = NamespaceContract(
    name=NAME,
    title="Stripe billing meters",
    source="https://docs.stripe.com/api/billing/meter, and what its clients send",
    credential=credential,
    refuse=refuse,
    operations=(
        Operation("POST", "/v1/billing/meter_events", events.create_event, "Create a meter event", Role.INGEST),
        Operation("POST", "/v1/billing/meter_event_adjustments", adjustments.create_adjustment, "Cancel a meter event"),
        Operation("POST", "/v1/billing/meters", meters.create_meter, "Create a meter"),
        Operation("GET", "/v1/billing/meters", meters.list_meters, "List meters"),
        Operation("GET", _METER, meters.get_meter, "Get a meter"),
        Operation("POST", _METER, meters.change_meter, "Change a meter's name"),
        Operation("POST", f"{_METER}/deactivate", meters.deactivate_meter, "Deactivate a meter"),
        Operation("POST", f"{_METER}/reactivate", meters.reactivate_meter, "Reactivate a meter"),
        Operation("GET", f"{_METER}/event_summaries", summaries.list_summaries, "Sum a customer's events"),
    ),
)

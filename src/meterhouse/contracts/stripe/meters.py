"""Billing meters: what they count is in the namespace's catalog, the rest are records of this contract."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from ...domain.contract_record import ContractRecord, RecordPlace
from ...domain.meter import Aggregation, Meter
from ...domain.ulid import RANDOM_BYTES, ulid
from ..catalog_meters import change_meters
from ..namespace_contract import Call, Refuse, Reply, Services
from ..unix_seconds import seconds
from .wire import NAME, Form, listed, missing, page

CUSTOMER, VALUE = "stripe_customer_id", "value"
FORMULAS = {"sum": Aggregation.SUM, "count": Aggregation.COUNT, "last": Aggregation.LATEST}
_FORMULA_OF = {aggregation: formula for formula, aggregation in FORMULAS.items()}
_URL = "/v1/billing/meters"
_MAX_NAME = 100
_ODD = re.compile(r"[^A-Za-z0-9_-]+")
_LETTER = re.compile(r"[A-Za-z]", re.ASCII)


@dataclass(frozen=True, slots=True)
class BillingMeter:
    """A meter of the catalog, with what this contract knows of it."""

    id: str
    meter: Meter
    display_name: str
    formula: str
    customer_key: str
    value_key: str
    window: str | None
    created_at: datetime | None
    updated_at: datetime | None
    deactivated_at: datetime | None
    record: ContractRecord | None
    """None of one that was not made here."""

    @property
    def event_name(self) -> str:
        """The type of its events."""
        return self.meter.event_type


def create_meter(call: Call, services: Services) -> Reply:
    """Makes a meter; it counts the events of its name that are stored already, too."""
    form = Form.of_body(call)
    event_name, display_name = form.need("event_name"), form.need("display_name")
    if len(event_name) > _MAX_NAME:
        raise Refuse(400, f"Invalid event_name: at most {_MAX_NAME} characters", param="event_name")
    form.need("default_aggregation[formula]")
    formula = form.choice("default_aggregation[formula]", [*FORMULAS])
    form.choice("customer_mapping[type]", ["by_id"])
    body = {
        "display_name": display_name,
        "formula": formula,
        "customer_key": form.get("customer_mapping[event_payload_key]") or CUSTOMER,
        "value_key": form.get("value_settings[event_payload_key]") or VALUE,
        "window": form.choice("event_time_window", ["", "day", "hour"]) or None,
        "deactivated_at": None,
    }
    form.refuse_others()
    known = {each.key for each in services.records.records(_place(call))}
    slug = _slug(event_name, known.union(services.catalogs.get(call.namespace).meters))
    table: dict[str, Any] = {
        "slug": slug,
        "event_type": event_name,
        "aggregation": FORMULAS[formula].value,
        "description": display_name,
    }
    if formula != "count":
        table["value"] = body["value_key"]

    def added(meters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        active = [each for each in billing_meters(call, services) if each.deactivated_at is None]
        if any(each.event_name == event_name for each in active) or slug in {each["slug"] for each in meters}:
            told = f"There is an active meter with the event name '{event_name}' already"
            raise Refuse(400, told, param="event_name")
        return [*meters, table]

    change_meters(call, services, added, f"meter {slug} created")
    record_id = f"mtr_{ulid(call.now, services.random_bytes(RANDOM_BYTES))}"
    record = ContractRecord(NAME, call.namespace, "meter", record_id, slug, body, call.now, call.now)
    services.records.add_record(record)
    return Reply(200, shown_meter(found_meter(call, services, record_id)))


def list_meters(call: Call, services: Services) -> Reply:
    """Meters, the newest first."""
    form = Form(call.query)
    status = form.get("status")
    found = [each for each in billing_meters(call, services) if status in (None, _status(each))]
    shown, more = page(form, found, lambda each: each.id)
    return listed(_URL, [shown_meter(each) for each in shown], more=more)


def get_meter(call: Call, services: Services) -> Reply:
    """One meter."""
    return Reply(200, shown_meter(found_meter(call, services, call.parameters["meter"])))


def change_meter(call: Call, services: Services) -> Reply:
    """Changes a meter's name."""
    form = Form.of_body(call)
    display_name = form.need("display_name")
    form.refuse_others()
    return _changed(call, services, display_name=display_name)


def deactivate_meter(call: Call, services: Services) -> Reply:
    """Lets a meter take no more events; what it has counted stays."""
    return _changed(call, services, deactivated_at=seconds(call.now))


def reactivate_meter(call: Call, services: Services) -> Reply:
    """Lets a meter take events again."""
    return _changed(call, services, deactivated_at=None)


def billing_meters(call: Call, services: Services) -> list[BillingMeter]:
    """All meters that this contract can speak of, the newest first; then those that were not made here."""
    records = {each.key: each for each in services.records.records(_place(call))}
    catalog = services.catalogs.get(call.namespace)
    meters = [each for each in catalog.meters.values() if each.aggregation in _FORMULA_OF and len(each.values) < 2]
    made = [_of_record(each, records[each.slug]) for each in meters if each.slug in records]
    made.sort(key=lambda each: each.id, reverse=True)
    return made + [_of_catalog(each) for each in meters if each.slug not in records]


def found_meter(call: Call, services: Services, meter_id: str) -> BillingMeter:
    """The meter of an id. Raises `Refuse` (404)."""
    for each in billing_meters(call, services):
        if each.id == meter_id:
            return each
    raise missing("billing meter", meter_id)


def shown_meter(each: BillingMeter) -> Mapping[str, object]:
    """A meter as it is answered."""
    return {
        "id": each.id,
        "object": "billing.meter",
        "created": seconds(each.created_at) if each.created_at is not None else 0,
        "customer_mapping": {"event_payload_key": each.customer_key, "type": "by_id"},
        "default_aggregation": {"formula": each.formula},
        "display_name": each.display_name,
        "event_name": each.event_name,
        "event_time_window": each.window,
        "livemode": False,
        "status": _status(each),
        "status_transitions": {
            "deactivated_at": seconds(each.deactivated_at) if each.deactivated_at is not None else None
        },
        "updated": seconds(each.updated_at) if each.updated_at is not None else 0,
        "value_settings": {"event_payload_key": each.value_key},
    }


def _place(call: Call) -> RecordPlace:
    return RecordPlace(NAME, call.namespace, "meter")


def _status(each: BillingMeter) -> str:
    return "active" if each.deactivated_at is None else "inactive"


def _of_record(meter: Meter, record: ContractRecord) -> BillingMeter:
    body = record.body
    return BillingMeter(
        id=record.id,
        meter=meter,
        display_name=body["display_name"],
        formula=body["formula"],
        customer_key=body["customer_key"],
        value_key=body["value_key"],
        window=body["window"],
        created_at=record.created_at,
        updated_at=record.updated_at,
        deactivated_at=record.updated_at if body["deactivated_at"] is not None else None,
        record=record,
    )


def _of_catalog(meter: Meter) -> BillingMeter:
    return BillingMeter(
        id=f"mtr_{meter.slug}",
        meter=meter,
        display_name=meter.description or meter.slug,
        formula=_FORMULA_OF[meter.aggregation],
        customer_key=CUSTOMER,
        value_key=meter.values[0] if meter.values else VALUE,
        window=None,
        created_at=None,
        updated_at=None,
        deactivated_at=None,
        record=None,
    )


def _changed(call: Call, services: Services, **fields: object) -> Reply:
    found = found_meter(call, services, call.parameters["meter"])
    if found.record is None:
        raise Refuse(400, "This meter is one of the namespace's catalog: change it there")
    record = replace(found.record, body={**found.record.body, **fields}, updated_at=call.now)
    services.records.replace_record(record)
    return Reply(200, shown_meter(found_meter(call, services, found.id)))


def _slug(event_name: str, taken: Collection[str | None]) -> str:
    """What the meter of an event's name is called in the catalog."""
    slug = _ODD.sub("_", event_name).strip("_") or "meter"
    slug = (slug if _LETTER.match(slug) else f"m_{slug}")[:60]
    numbers = ("", *(f"_{number}" for number in range(2, 1_000)))
    return next(f"{slug}{number}" for number in numbers if f"{slug}{number}" not in taken)

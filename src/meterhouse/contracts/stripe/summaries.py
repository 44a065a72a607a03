"""Summaries of a customer's meter events."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal

from ...domain.meter import MeterQuery
from ...domain.quantity import ZERO, plain
from ..namespace_contract import Call, Reply, Services
from ..unix_seconds import seconds
from .meters import BillingMeter, found_meter
from .wire import Form, bad_parameter, instant, listed, page

_WIDTHS = {"hour": timedelta(hours=1), "day": timedelta(days=1)}
_MINUTE = timedelta(minutes=1)
_MOST_WINDOWS = 10_000


def list_summaries(call: Call, services: Services) -> Reply:
    """One summary of the whole span; or one of each hour or UTC day that has events, the newest first."""
    meter = found_meter(call, services, call.parameters["meter"])
    form = Form(call.query)
    customer, window = form.need("customer"), form.get("value_grouping_window")
    start, end = instant("start_time", form.need("start_time")), instant("end_time", form.need("end_time"))
    if window is not None and window not in _WIDTHS:
        raise bad_parameter("value_grouping_window", f"Invalid value_grouping_window: {', '.join(_WIDTHS)}")
    width = _WIDTHS[window] if window is not None else _MINUTE
    for name, at in (("start_time", start), ("end_time", end)):
        if seconds(at) % (width // timedelta(seconds=1)):
            raise bad_parameter(name, f"Invalid {name}: it must be aligned with {window or 'minute'} boundaries")
    if start >= end:
        raise bad_parameter("end_time", "Invalid end_time: it must be after start_time")
    edges = [start, end] if window is None else _edges(start, end, width)
    snapshot = services.snapshots.snapshot(call.namespace, (customer,), None)
    asked = MeterQuery(
        namespace=call.namespace,
        organization=customer,
        meters=(meter.meter,),
        edges=tuple(edges),
        as_of_commit=snapshot.commit,
    )
    found = {each.window: each.value for each in snapshot.reader.measure(asked)}
    if window is None:
        found.setdefault(0, ZERO)
    summaries = [
        _shown(meter, customer, (edges[place], edges[place + 1]), found[place]) for place in sorted(found, reverse=True)
    ]
    shown, more = page(form, summaries, lambda each: str(each["id"]))
    return listed(f"/v1/billing/meters/{meter.id}/event_summaries", shown, more=more)


def _edges(start: datetime, end: datetime, width: timedelta) -> list[datetime]:
    count = (end - start) // width
    if count > _MOST_WINDOWS:
        raise bad_parameter("end_time", f"Invalid end_time: at most {_MOST_WINDOWS:,} windows are summed")
    return [start + n * width for n in range(count + 1)]


def _shown(meter: BillingMeter, customer: str, span: tuple[datetime, datetime], value: Decimal) -> Mapping[str, object]:
    start, end = map(seconds, span)
    told = hashlib.sha256(f"{meter.id}\0{customer}\0{start}\0{end}".encode()).hexdigest()[:24]
    return {
        "id": f"mtrusg_{told}",
        "object": "billing.meter_event_summary",
        "aggregated_value": plain(value),
        "end_time": end,
        "livemode": False,
        "meter": meter.id,
        "start_time": start,
    }

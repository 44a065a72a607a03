"""How entitlements stand, from their grants and the usage that is theirs."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from ...domain.contract_record import ContractRecord
from ...domain.meter import BY_ORGANIZATION, Aggregation, MeterQuery
from ...domain.quantity import ZERO, subtract
from ...ports.aggregate_reader import AggregateReader
from ..namespace_contract import Call, Services
from .burn_down import Allotment, Stretch, burn_down, cuts
from .grants import allotments_of
from .owners import Owner
from .records import FEATURES
from .usage_periods import resets_of

_MICROSECOND = timedelta(microseconds=1)


def stretches_of(
    call: Call,
    services: Services,
    owner: Owner,
    entitlement: ContractRecord,
    *,
    until: datetime,
    marks: Sequence[datetime] = (),
) -> list[Stretch]:
    """What has happened to a metered entitlement before an instant, divided at some marks."""
    body = entitlement.body
    resets = resets_of(body, until - _MICROSECOND)
    allotments: list[Allotment] = allotments_of(call, services, entitlement)
    edges = cuts(allotments, resets, resets[0].at, until, marks)
    used = _used(call, services, owner, body, edges=edges, resets={reset.at for reset in resets})
    return burn_down(allotments, resets, edges, used)


def _used(
    call: Call,
    services: Services,
    owner: Owner,
    body: Mapping[str, Any],
    *,
    edges: Sequence[datetime],
    resets: Collection[datetime],
) -> list[Decimal]:
    """The usage of each stretch. Of a meter that does not add up, by how much it has grown since the usage period's
    beginning."""
    feature = services.records.record(FEATURES.place(call), body["featureId"])
    assert feature is not None  # archived ones stay
    meter = services.catalogs.get(call.namespace).meters.get(feature.body["meterSlug"])
    if meter is None:
        return [ZERO] * (len(edges) - 1)
    snapshot = services.snapshots.snapshot(call.namespace, owner.subjects, None)
    filters = [(name, (text,)) for name, text in (feature.body.get("meterGroupByFilters") or {}).items()]
    asked = MeterQuery(
        namespace=call.namespace,
        organization=owner.subjects[0] if len(owner.subjects) == 1 else None,
        meters=(meter,),
        edges=tuple(edges),
        as_of_commit=snapshot.commit,
        filters=(*filters, *(((BY_ORGANIZATION, owner.subjects),) if len(owner.subjects) > 1 else ())),
    )
    if meter.aggregation in (Aggregation.SUM, Aggregation.COUNT):
        found = {each.window: each.value for each in snapshot.reader.measure(asked)}
        return [found.get(window, ZERO) for window in range(len(edges) - 1)]
    return _grown(asked, snapshot.reader, edges, resets)


def _grown(
    asked: MeterQuery, reader: AggregateReader, edges: Sequence[datetime], resets: Collection[datetime]
) -> list[Decimal]:
    """Of each usage period one stretch is asked about at once, so that there are as many questions as the usage period
    with the most stretches has of them."""
    periods: list[list[datetime]] = []
    for edge in edges[:-1]:
        if edge in resets or not periods:
            periods.append([])
        periods[-1].append(edge)
    starts = [period[0] for period in periods]
    ends = [[*period[1:], end] for period, end in zip(periods, [*starts[1:], edges[-1]], strict=True)]
    used, before = dict[datetime, Decimal](), [ZERO] * len(periods)
    for place in range(max(map(len, periods))):
        having = [index for index, period in enumerate(periods) if place < len(period)]
        spans = [(starts[index], ends[index][place]) for index in having]
        cut = sorted({side for span in spans for side in span})
        found = {cut[each.window]: each.value for each in reader.measure(replace(asked, edges=tuple(cut)))}
        for index, (start, _) in zip(having, spans, strict=True):
            value = found.get(start, before[index])
            used[periods[index][place]] = subtract(value, before[index])
            before[index] = value
    return [used[edge] for edge in edges[:-1]]

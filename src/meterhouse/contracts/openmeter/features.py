"""Features: what customers are entitled to, most of them with a meter."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from ...domain.contract_record import ContractRecord
from ...domain.meter import Aggregation
from ..namespace_contract import Call, Refuse, Reply, Services
from .meters import slug_of
from .records import FEATURES
from .wire import bad_field, decoded, flag, listed, written

_METERED = (Aggregation.SUM, Aggregation.COUNT, Aggregation.UNIQUE_COUNT, Aggregation.LATEST)


class _Feature(msgspec.Struct, rename="camel"):
    """What is given of a feature."""

    key: str
    name: str
    meter_slug: str | None = None
    meter_group_by_filters: dict[str, str] | None = None
    advanced_meter_group_by_filters: dict[str, Any] | None = None
    unit_cost: dict[str, Any] | None = None
    metadata: dict[str, str] | None = None


def create_feature(call: Call, services: Services) -> Reply:
    """Makes a feature."""
    given = decoded(call.body, _Feature)
    slug_of("key", given.key)
    if not given.name:
        raise bad_field("name", "must not be empty")
    if given.meter_slug is not None:
        meter = services.catalogs.get(call.namespace).meters.get(given.meter_slug)
        if meter is None:
            raise Refuse(404, f"there is no meter {given.meter_slug[:128]!r}")
        if meter.aggregation not in _METERED:
            raise bad_field("meterSlug", f"must be a meter of {', '.join(_METERED)}")
        for name in given.meter_group_by_filters or {}:
            if name not in meter.group_by:
                raise bad_field("meterGroupByFilters", f"invalid group by: {name[:60]}")
    if given.advanced_meter_group_by_filters:
        raise bad_field("advancedMeterGroupByFilters", "is not supported of features: use meterGroupByFilters")
    if (known := services.records.record_by_key(FEATURES.place(call), given.key)) is not None:
        raise Refuse(409, f"there is a feature {given.key!r} already", conflictingEntityId=known.id)
    body = {name: value for name, value in msgspec.to_builtins(given).items() if value is not None and name != "key"}
    return Reply(201, shown_feature(FEATURES.add(call, services, given.key, body)))


def list_features(call: Call, services: Services) -> Reply:
    """All features, or a page of them."""
    found = FEATURES.all(call, services, deleted=flag(call, "includeArchived"))
    if slugs := call.every("meterSlug"):
        found = [each for each in found if each.body.get("meterSlug") in slugs]
    return listed(call, [shown_feature(each) for each in found])


def get_feature(call: Call, services: Services) -> Reply:
    """One feature."""
    return Reply(200, shown_feature(FEATURES.get(call, services, call.parameters["feature"])))


def delete_feature(call: Call, services: Services) -> Reply:
    """Archives a feature: entitlements that there are stay, and there can be no new ones."""
    FEATURES.delete(call, services, FEATURES.get(call, services, call.parameters["feature"]))
    return Reply(204)


def shown_feature(feature: ContractRecord) -> Mapping[str, object]:
    """A feature as it is answered."""
    body = dict(feature.body)
    key = body.pop("key", feature.key)
    times = {
        "createdAt": written(feature.created_at),
        "updatedAt": written(feature.updated_at),
        "archivedAt": written(feature.deleted_at),
    }
    return {"id": feature.id, "key": key, **body, **{name: at for name, at in times.items() if at is not None}}

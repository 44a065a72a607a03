"""Meters: what they mean is in the namespace's catalog, names and metadata are records of this contract."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from ...domain.catalog import CatalogError
from ...domain.contract_record import ContractRecord
from ...domain.meter import Aggregation, Meter
from ...domain.ulid import ulid
from ..catalog_meters import change_meters
from ..namespace_contract import Call, Refuse, Reply, Services
from .json_path import json_path, property_path
from .records import FEATURES, METERS
from .wire import bad_field, decoded, flag, written

AGGREGATIONS = tuple(each.value for each in Aggregation if each is not Aggregation.STATE_COUNT)
_SLUG = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*", re.ASCII)
_GROUP = re.compile(r"[a-zA-Z_][0-9a-zA-Z_]*", re.ASCII)
_MAX_SLUG = 64
_UNDATED = datetime(1970, 1, 1, tzinfo=UTC)
"""Of meters that were not made here: their catalog does not say when they were."""


class _NewMeter(msgspec.Struct, rename="camel"):
    """A meter that is asked for."""

    slug: str
    aggregation: str
    event_type: str
    value_property: str | None = None
    group_by: dict[str, str] | None = None
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None
    event_from: str | None = None


class _ChangedMeter(msgspec.Struct, rename="camel"):
    """What can be another of a meter; all else is passed over."""

    group_by: dict[str, str] | None = None
    name: str | None = None
    description: str | None = None
    metadata: dict[str, str] | None = None


def create_meter(call: Call, services: Services) -> Reply:
    """Makes a meter; it counts what is stored already, too."""
    given = decoded(call.body, _NewMeter)
    slug_of("slug", given.slug)
    if given.aggregation not in AGGREGATIONS:
        raise bad_field("aggregation", f"must be one of {', '.join(AGGREGATIONS)}")
    if not given.event_type:
        raise bad_field("eventType", "must not be empty")
    if given.event_from is not None:
        raise bad_field("eventFrom", "is not supported: a meter counts all events of its type")
    if (given.aggregation == Aggregation.COUNT) == (given.value_property is not None):
        raise bad_field("valueProperty", "must be given, but for COUNT, which reads none")
    table: dict[str, Any] = {
        "slug": given.slug,
        "event_type": given.event_type,
        "aggregation": given.aggregation,
        "description": given.description or "",
        "group_by": _groups(given.group_by, given.value_property),
    }
    if given.value_property is not None:
        table["value"] = property_path("valueProperty", given.value_property)

    def added(meters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if any(each["slug"] == given.slug for each in meters):
            raise Refuse(409, f"there is a meter {given.slug!r} already")
        return [*meters, table]

    change_meters(call, services, added, f"meter {given.slug} created")
    made = _named(call, services, given.slug, given)
    return Reply(201, shown_meter(call, services.catalogs.meter(call.namespace, given.slug), made))


def slug_of(field: str, text: str) -> str:
    """The slug of a meter, or the key of a feature. Raises `Refuse` for what cannot be one."""
    if _SLUG.fullmatch(text) is None or len(text) > _MAX_SLUG:
        raise bad_field(field, f"must be lower case letters and digits with _ between them, at most {_MAX_SLUG}")
    return text


def list_meters(call: Call, services: Services) -> Reply:
    """All meters, by their slugs."""
    records = METERS.all(call, services, deleted=True)
    named = {each.key: each for each in records if each.deleted_at is None}
    catalog = services.catalogs.get(call.namespace)
    shown = [shown_meter(call, meter, named.get(meter.slug)) for meter in _meters(catalog.meters)]
    if flag(call, "includeDeleted"):
        shown += [each.body["shown"] | {"deletedAt": written(each.deleted_at)} for each in records if each.deleted_at]
    return Reply(200, sorted(shown, key=lambda each: str(each["slug"])))


def get_meter(call: Call, services: Services) -> Reply:
    """One meter."""
    return Reply(200, shown_meter(call, *found_meter(call, services)))


def replace_meter(call: Call, services: Services) -> Reply:
    """Replaces a meter's name, metadata and groups: those that are absent are emptied. What it counts stays."""
    meter, _ = found_meter(call, services)
    given = decoded(call.body, _ChangedMeter)
    groups = _groups(given.group_by, None)
    description = meter.description if given.description is None else given.description

    def changed(meters: list[dict[str, Any]]) -> list[dict[str, Any]]:
        table = {"group_by": groups, "description": description}
        return [each | table if each["slug"] == meter.slug else each for each in meters]

    change_meters(call, services, changed, f"meter {meter.slug} changed")
    record = _named(call, services, meter.slug, given)
    return Reply(200, shown_meter(call, services.catalogs.meter(call.namespace, meter.slug), record))


def delete_meter(call: Call, services: Services) -> Reply:
    """Deletes a meter; events stay. One of the same slug that is made later has all of them again."""
    meter, record = found_meter(call, services)
    users = [each for each in FEATURES.all(call, services) if each.body.get("meterSlug") == meter.slug]
    if users:
        raise Refuse(409, f"the feature {users[0].key!r} uses the meter", conflictingEntityId=users[0].id)
    shown = shown_meter(call, meter, record)
    try:
        change_meters(
            call,
            services,
            lambda meters: [each for each in meters if each["slug"] != meter.slug],
            f"meter {meter.slug} deleted",
        )
    except CatalogError as used:  # by a plan, a pool or a price
        raise Refuse(409, str(used)) from None
    if record is None:
        record = METERS.add(call, services, meter.slug, {})
    METERS.delete(call, services, METERS.change(call, services, record, {"shown": shown}, record.key))
    return Reply(204)


def found_meter(call: Call, services: Services) -> tuple[Meter, ContractRecord | None]:
    """The meter that a path names by its slug or its id, and what else is known of it. Raises `Refuse` (404)."""
    wanted = call.parameters["meter"]
    meters = _meters(services.catalogs.get(call.namespace).meters)
    record = METERS.find(call, services, wanted)
    slug = record.key if record is not None else wanted
    for meter in meters:
        if meter.slug == slug or (record is None and _id(call, meter) == wanted):
            return meter, record
    raise Refuse(404, f"there is no meter {wanted[:128]!r}")


def shown_meter(call: Call, meter: Meter, record: ContractRecord | None) -> dict[str, object]:
    """A meter as it is answered."""
    shown: dict[str, object] = {
        "id": record.id if record is not None else _id(call, meter),
        "slug": meter.slug,
        "name": record.body["name"] if record is not None else meter.slug,
        "aggregation": meter.aggregation.value,
        "eventType": meter.event_type,
        "createdAt": written(record.created_at if record is not None else _UNDATED),
        "updatedAt": written(record.updated_at if record is not None else _UNDATED),
    }
    if meter.description:
        shown["description"] = meter.description
    if len(meter.values) == 1:
        shown["valueProperty"] = json_path(meter.values[0])
    if meter.group_by:
        shown["groupBy"] = {name: json_path(meter.path_of(name)) for name in meter.group_by}
    if record is not None and record.body.get("metadata"):
        shown["metadata"] = record.body["metadata"]
    return shown


def _named(call: Call, services: Services, slug: str, given: _NewMeter | _ChangedMeter) -> ContractRecord:
    """The record of a meter, with what is given. There may be one of a meter that was taken out of the catalog."""
    body = {"name": given.name or slug, "metadata": given.metadata}
    record = services.records.record_by_key(METERS.place(call), slug)
    if record is None:
        return METERS.add(call, services, slug, body)
    return METERS.change(call, services, record, body, slug)


def _meters(meters: Mapping[str, Meter]) -> list[Meter]:
    """Those that this contract can speak of."""
    return [each for each in meters.values() if each.aggregation is not Aggregation.STATE_COUNT]


def _id(call: Call, meter: Meter) -> str:
    """The id of a meter that was not made here: it follows from what it is called."""
    return ulid(_UNDATED, hashlib.blake2b(f"{call.namespace}/{meter.slug}".encode(), digest_size=10).digest())


def _groups(given: Mapping[str, str] | None, value: str | None) -> list[dict[str, str]]:
    groups = []
    for name, path in (given or {}).items():
        if _GROUP.fullmatch(name) is None:
            raise bad_field(f"groupBy.{name[:60]}", "must be letters, digits and _, no digit first")
        if path == value:
            raise bad_field(f"groupBy.{name}", "is the value's own path")
        groups.append({"name": name, "path": property_path(f"groupBy.{name}", path)})
    return groups

"""Entitlements: which features a customer may use, and how much of those that are metered."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

import msgspec

from ...domain.contract_record import ContractRecord
from ...domain.period import format_instant, period_at
from ...domain.quantity import plain
from ..namespace_contract import Call, Refuse, Reply, Services
from .features import shown_feature
from .owners import Owner, entitlements_of, get_entitlement_of, owner_of_id, owner_of_path
from .records import ENTITLEMENTS, FEATURES
from .usage_periods import Recurring, anchor_of, current_period, interval_of, iso_of, resets_of
from .wire import bad_field, decoded, instant, listed, page, quantity_of, written

_NOW, _PERIOD_START = "NOW", "CURRENT_PERIOD_START"


class _Entitlement(msgspec.Struct, rename="camel"):
    """What is given of an entitlement."""

    type: Literal["metered", "static", "boolean"]
    feature_key: str | None = None
    feature_id: str | None = None
    usage_period: Recurring | None = None
    is_soft_limit: bool = False
    is_unlimited: bool = False
    issue_after_reset: Decimal | None = None
    issue_after_reset_priority: int = 1
    preserve_overage_at_reset: bool = False
    measure_usage_from: str | dict[str, Any] | None = None
    config: str | None = None
    metadata: dict[str, str] | None = None


class _Reset(msgspec.Struct, rename="camel"):
    """How a usage period is to begin anew."""

    effective_at: str | None = None
    retain_anchor: bool = False
    preserve_overage: bool | None = None


def create_entitlement(call: Call, services: Services) -> Reply:
    """Entitles a customer, or a subject, to a feature."""
    owner, given = owner_of_path(call, services), decoded(call.body, _Entitlement)
    feature = _feature(call, services, given)
    for each in entitlements_of(call, services, owner):
        if each.body["featureId"] == feature.id:
            raise Refuse(409, f"there is an entitlement to {feature.key!r} already", conflictingEntityId=each.id)
    body = _body(call, owner, feature, given)
    return Reply(201, shown_entitlement(call, services, _added(call, services, body)))


def override_entitlement(call: Call, services: Services) -> Reply:
    """Puts another entitlement to the same feature in the place of one."""
    owner, before = found_entitlement(call, services)
    given = decoded(call.body, _Entitlement)
    feature = _feature(call, services, given)
    if feature.id != before.body["featureId"]:
        raise bad_field("featureKey", "must be the feature of the entitlement that is overridden")
    body = _body(call, owner, feature, given)
    ENTITLEMENTS.delete(call, services, before)
    return Reply(201, shown_entitlement(call, services, _added(call, services, body)))


def list_entitlements(call: Call, services: Services) -> Reply:
    """All entitlements of a customer or a subject."""
    found = entitlements_of(call, services, owner_of_path(call, services))
    shown = [shown_entitlement(call, services, each) for each in found]
    return page(call, shown) if "customer" in call.parameters else Reply(200, shown)


def list_all_entitlements(call: Call, services: Services) -> Reply:
    """The entitlements of everybody, filtered by feature, subject, customer and type."""
    return listed(call, _filtered(call, services))


def page_all_entitlements(call: Call, services: Services) -> Reply:
    """The same, page by page."""
    return page(call, _filtered(call, services))


def _filtered(call: Call, services: Services) -> list[dict[str, object]]:
    found = ENTITLEMENTS.all(call, services)
    if wanted := call.every("entitlementType"):
        found = [each for each in found if each.body["type"] in wanted]
    if wanted := call.every("feature"):
        found = [each for each in found if {each.body["featureId"], each.body["featureKey"]} & {*wanted}]
    shown = [shown_entitlement(call, services, each) for each in found]
    for parameter, field in (("subject", "subjectKey"), ("customerIds", "customerId"), ("customerKeys", "customerKey")):
        if wanted := call.every(parameter):
            shown = [each for each in shown if each.get(field) in wanted]
    return shown


def get_entitlement(call: Call, services: Services) -> Reply:
    """One entitlement of a customer or a subject."""
    return Reply(200, shown_entitlement(call, services, found_entitlement(call, services)[1]))


def get_any_entitlement(call: Call, services: Services) -> Reply:
    """One entitlement, by its id."""
    found = ENTITLEMENTS.get(call, services, call.parameters["entitlement"])
    return Reply(200, shown_entitlement(call, services, found))


def delete_entitlement(call: Call, services: Services) -> Reply:
    """Ends an entitlement."""
    ENTITLEMENTS.delete(call, services, found_entitlement(call, services)[1])
    return Reply(204)


def reset_entitlement(call: Call, services: Services) -> Reply:
    """Begins the usage period anew."""
    _, entitlement = found_entitlement(call, services)
    body = entitlement.body
    if body["type"] != "metered":
        raise Refuse(400, "only metered entitlements have a usage period")
    given = decoded(call.body, _Reset)
    at = instant("effectiveAt", given.effective_at) or call.now
    if at > call.now or at <= resets_of(body, call.now)[-1].at:
        raise bad_field("effectiveAt", "must be in the current usage period, and not ahead")
    reset = {
        "at": format_instant(at),
        "anchor": anchor_of(body) if given.retain_anchor else format_instant(at),
        "preserveOverage": (
            body["preserveOverageAtReset"] if given.preserve_overage is None else given.preserve_overage
        ),
    }
    changed = {**body, "resets": [*body["resets"], reset]}
    ENTITLEMENTS.change(call, services, entitlement, changed, entitlement.key)
    return Reply(204)


def found_entitlement(call: Call, services: Services) -> tuple[Owner, ContractRecord]:
    """The owner that a path names, and the entitlement, by its id or the key of its feature. Raises `Refuse` (404)."""
    owner = owner_of_path(call, services)
    return owner, get_entitlement_of(call, services, owner, call.parameters["entitlement"])


def shown_entitlement(call: Call, services: Services, entitlement: ContractRecord) -> dict[str, object]:
    """An entitlement as it is answered."""
    body = entitlement.body
    shown: dict[str, object] = {
        "id": entitlement.id,
        "type": body["type"],
        "featureKey": body["featureKey"],
        "featureId": body["featureId"],
        **owner_of_id(call, services, body["owner"]).shown,
        "activeFrom": written(entitlement.created_at),
        "createdAt": written(entitlement.created_at),
        "updatedAt": written(entitlement.updated_at),
    }
    for name in ("config", "metadata"):
        if body.get(name) is not None:
            shown[name] = body[name]
    if body["type"] == "metered":
        resets = resets_of(body, call.now)
        period = current_period(body, resets, call.now)
        shown |= {
            "isSoftLimit": body["isSoftLimit"],
            "isUnlimited": False,
            "preserveOverageAtReset": body["preserveOverageAtReset"],
            "measureUsageFrom": body["measureUsageFrom"],
            "lastReset": written(resets[-1].at),
            "currentUsagePeriod": {"from": written(period.start), "to": written(period.end)},
            "usagePeriod": {
                "interval": body["interval"],
                "intervalISO": iso_of(body["interval"]),
                "anchor": anchor_of(body),
            },
        }
        if body["issueAfterReset"] is not None:
            shown["issueAfterReset"] = plain(Decimal(body["issueAfterReset"]))
            shown["issueAfterResetPriority"] = body["issueAfterResetPriority"]
    return shown


def _feature(call: Call, services: Services, given: _Entitlement) -> ContractRecord:
    name = given.feature_key or given.feature_id
    if name is None:
        raise bad_field("featureKey", "give featureKey or featureId")
    return FEATURES.get(call, services, name)


def _body(call: Call, owner: Owner, feature: ContractRecord, given: _Entitlement) -> dict[str, Any]:
    """What is kept of an entitlement. Raises `Refuse`."""
    body: dict[str, Any] = {
        "type": given.type,
        "owner": owner.id,
        "featureId": feature.id,
        "featureKey": feature.key,
        "metadata": given.metadata,
    }
    if given.type == "static":
        body["config"] = _config(given)
    elif given.type == "metered":
        body |= _metered(call, given, shown_feature(feature))
    return body


def _added(call: Call, services: Services, body: Mapping[str, Any]) -> ContractRecord:
    owner = body["owner"]
    return ENTITLEMENTS.add(call, services, f"{owner}\n{body['featureKey']}", body, owner)


def _config(given: _Entitlement) -> str:
    if given.config is None:
        raise bad_field("config", "must be given: a JSON text")
    try:
        msgspec.json.decode(given.config)
    except (msgspec.DecodeError, RecursionError):
        raise bad_field("config", "must be a JSON text") from None
    return given.config


def _metered(call: Call, given: _Entitlement, feature: Mapping[str, object]) -> dict[str, Any]:
    if feature.get("meterSlug") is None:
        raise bad_field("featureKey", "the feature has no meter")
    if given.is_unlimited:
        raise bad_field("isUnlimited", "is not supported: take a soft limit")
    if given.usage_period is None:
        raise bad_field("usagePeriod", 'must be given, like {"interval": "MONTH"}')
    interval = interval_of("usagePeriod.interval", given.usage_period.interval)
    anchor = instant("usagePeriod.anchor", given.usage_period.anchor) or call.now
    amount = given.issue_after_reset
    return {
        "interval": given.usage_period.interval,
        "anchor": format_instant(anchor),
        "isSoftLimit": given.is_soft_limit,
        "issueAfterReset": None if amount is None else str(plain(quantity_of("issueAfterReset", amount))),
        "issueAfterResetPriority": given.issue_after_reset_priority,
        "preserveOverageAtReset": given.preserve_overage_at_reset,
        "measureUsageFrom": format_instant(
            _measured_from(call, given, period_at(anchor, interval, call.now).start or call.now)
        ),
        "resets": [],
    }


def _measured_from(call: Call, given: _Entitlement, period_start: datetime) -> datetime:
    text = given.measure_usage_from
    if text is None or text == _NOW:
        return call.now
    if text == _PERIOD_START:
        return period_start
    at = instant("measureUsageFrom", text) if isinstance(text, str) else None
    if at is None or at > call.now:
        raise bad_field("measureUsageFrom", f"must be {_NOW}, {_PERIOD_START} or an instant that is not ahead")
    return at

"""What entitlements come to: whether a customer has access, and what is left."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from itertools import pairwise

from ...domain.contract_record import ContractRecord
from ...domain.period import Period, format_instant, parse_instant
from ...domain.quantity import ZERO, plain, subtract
from ...services.balances import limit_in_period
from ..namespace_contract import Call, Refuse, Reply, Services
from .burn_down import Stretch
from .entitlements import found_entitlement
from .owners import Owner, entitlements_of, find_entitlement_of, get_entitlement_of, owner_of_path
from .query_windows import window_of, windows_around, zone_of
from .records import FEATURES
from .standings import stretches_of
from .usage_periods import resets_of
from .wire import bad_field, instant

_NO_ACCESS = {"hasAccess": False}
_MICROSECOND = timedelta(microseconds=1)


def customer_value(call: Call, services: Services) -> Reply:
    """What a customer has of a feature: no access to one without an entitlement."""
    owner = owner_of_path(call, services)
    return Reply(200, _value_of_feature(call, services, owner, call.parameters["feature"], _asked_at(call)))


def customer_value_with_grants(call: Call, services: Services) -> Reply:
    """The same, with what is left of each grant."""
    owner = owner_of_path(call, services)
    value = _value_of_feature(call, services, owner, call.parameters["feature"], _asked_at(call), grants=True)
    return Reply(200, value)


def subject_value(call: Call, services: Services) -> Reply:
    """What a subject has of a feature. One without an entitlement is not found."""
    owner = owner_of_path(call, services)
    found = get_entitlement_of(call, services, owner, call.parameters["feature"])
    return Reply(200, _value(call, services, owner, found, _asked_at(call)))


def customer_access(call: Call, services: Services) -> Reply:
    """What a customer has of all features that it is entitled to."""
    owner = owner_of_path(call, services)
    found = entitlements_of(call, services, owner)
    values = {each.body["featureKey"]: _value(call, services, owner, each, call.now) for each in found}
    return Reply(200, {"entitlements": values})


def entitlement_history(call: Call, services: Services) -> Reply:
    """What happened to the balance of a metered entitlement, window by window."""
    owner, entitlement = found_entitlement(call, services)
    if entitlement.body["type"] != "metered":
        raise Refuse(404, "there is nothing to tell: it is no metered entitlement")
    window, tz = window_of(call.one("windowSize")), zone_of(call.one("windowTimeZone") or "UTC")
    resets = resets_of(entitlement.body, call.now)
    start = max(instant("from", call.one("from")) or resets[-1].at, resets[0].at)
    end = min(instant("to", call.one("to")) or call.now, call.now)
    if start >= end:
        raise bad_field("to", "must be after from")
    edges, _ = windows_around(Period(start, end), window, tz)
    marks = [edge for edge in edges if edge is not None]
    stretches = stretches_of(call, services, owner, entitlement, until=end, marks=marks)
    told = [each for each in stretches if start <= each.start]
    return Reply(
        200,
        {
            "windowedHistory": [_window(told, *sides) for sides in pairwise(marks)],
            "burndownHistory": [_burned(each) for each in told],
        },
    )


def _asked_at(call: Call) -> datetime:
    at = instant("time", call.one("time")) or call.now
    if at > call.now:
        raise bad_field("time", "is still to come")
    return at


def _value_of_feature(
    call: Call, services: Services, owner: Owner, wanted: str, at: datetime, *, grants: bool = False
) -> Mapping[str, object]:
    if (found := find_entitlement_of(call, services, owner, wanted)) is not None:
        return _value(call, services, owner, found, at, grants=grants)
    feature = FEATURES.find(call, services, wanted)
    meter = feature.body.get("meterSlug") if feature is not None else wanted
    return _value_of_plan(call, services, owner, meter) or _NO_ACCESS


def _value(
    call: Call, services: Services, owner: Owner, entitlement: ContractRecord, at: datetime, *, grants: bool = False
) -> Mapping[str, object]:
    body = entitlement.body
    if body["type"] != "metered":
        return {"hasAccess": True, **({"config": body["config"]} if body["type"] == "static" else {})}
    if at < parse_instant(body["measureUsageFrom"]):
        return _NO_ACCESS
    standing = stretches_of(call, services, owner, entitlement, until=at + _MICROSECOND)[-1].after
    value: dict[str, object] = {
        "hasAccess": body["isSoftLimit"] or standing.balance > 0,
        "balance": plain(standing.balance),
        "usage": plain(standing.usage),
        "overage": plain(standing.overage),
        "totalAvailableGrantAmount": plain(standing.total_granted),
    }
    if grants:
        value["grantBalances"] = {name: plain(left) for name, left in standing.balances.items()}
    return value


def _value_of_plan(call: Call, services: Services, owner: Owner, slug: str | None) -> Mapping[str, object] | None:
    """What an organization's plan, add-ons and grants leave of a meter, where there is no entitlement to it; None for a
    customer of whom there is no organization, or none with a subscription."""
    catalog = services.catalogs.get(call.namespace)
    organization = services.accounts.organization_in(owner.subjects[0], [call.namespace])
    if slug is None or slug not in catalog.meters or organization is None or organization.deleted_at is not None:
        return None
    if services.accounts.subscription(organization.id) is None:
        return None
    usage = services.usage.of(organization)
    used, limit = usage.total(slug, usage.period()), limit_in_period(usage, slug)
    if limit is None:
        return {"hasAccess": True, "usage": plain(used)}
    left = subtract(limit, used)
    return {
        "hasAccess": left > 0,
        "balance": plain(max(left, ZERO)),
        "usage": plain(used),
        "overage": plain(max(-left, ZERO)),
        "totalAvailableGrantAmount": plain(limit),
    }


def _window(stretches: Sequence[Stretch], start: datetime, end: datetime) -> Mapping[str, object]:
    inside = [each for each in stretches if start <= each.start < end]
    return {
        "period": {"from": format_instant(start), "to": format_instant(end)},
        "usage": plain(sum((each.used for each in inside), ZERO)),
        "balanceAtStart": plain(inside[0].before.balance),
    }


def _burned(each: Stretch) -> Mapping[str, object]:
    return {
        "period": {"from": format_instant(each.start), "to": format_instant(each.end)},
        "usage": plain(each.used),
        "overage": plain(each.after.overage),
        "balanceAtStart": plain(each.before.balance),
        "grantBalancesAtStart": {name: plain(left) for name, left in each.before.balances.items()},
        "balanceAtEnd": plain(each.after.balance),
        "grantBalancesAtEnd": {name: plain(left) for name, left in each.after.balances.items()},
        "grantUsages": [],
    }

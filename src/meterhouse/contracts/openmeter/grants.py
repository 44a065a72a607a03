"""Grants of metered entitlements."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from ...domain.contract_record import ContractRecord
from ...domain.period import format_instant, parse_instant, period_at
from ...domain.quantity import ZERO, plain
from ..namespace_contract import Call, Refuse, Reply, Services
from .burn_down import Allotment
from .entitlements import found_entitlement
from .owners import owner_of_id
from .records import ENTITLEMENTS, GRANTS
from .usage_periods import Expiration, Recurring, expiry, interval_of, iso_of, resets_of
from .wire import bad_field, decoded, flag, instant, listed, page, quantity_of, written

_MOST_PRIORITY = 255


class _Grant(msgspec.Struct, rename="camel"):
    """What is given of a grant."""

    amount: Decimal
    effective_at: str
    priority: int = 0
    expiration: Expiration | None = None
    min_rollover_amount: Decimal | None = None
    max_rollover_amount: Decimal | None = None
    recurrence: Recurring | None = None
    metadata: dict[str, str] | None = None


def create_grant(call: Call, services: Services) -> Reply:
    """Grants an entitlement an amount. Version 1 needs an expiration, and carries nothing over unless it is told to;
    version 2 carries all of it over."""
    owner, entitlement = found_entitlement(call, services)
    if entitlement.body["type"] != "metered":
        raise Refuse(400, "only metered entitlements have grants")
    by_subject = "subject" in call.parameters
    given = decoded(call.body, _Grant)
    amount = quantity_of("amount", given.amount)
    if amount <= 0:
        raise bad_field("amount", "must be more than 0")
    if not 0 <= given.priority <= _MOST_PRIORITY:
        raise bad_field("priority", f"must be a number from 0 to {_MOST_PRIORITY}")
    effective_at = instant("effectiveAt", given.effective_at)
    assert effective_at is not None  # the text is there
    if effective_at < resets_of(entitlement.body, call.now)[-1].at:
        raise bad_field("effectiveAt", "is before the current usage period")
    if given.expiration is None and by_subject:
        raise bad_field("expiration", 'must be given, like {"duration": "YEAR", "count": 1}')
    most = given.max_rollover_amount if given.max_rollover_amount is not None else ZERO if by_subject else amount
    least = given.min_rollover_amount if given.min_rollover_amount is not None else ZERO
    most, least = quantity_of("maxRolloverAmount", most), quantity_of("minRolloverAmount", least)
    body: dict[str, Any] = {
        "entitlement": entitlement.id,
        "owner": owner.id,
        "amount": str(plain(amount)),
        "priority": given.priority,
        "effectiveAt": format_instant(effective_at),
        "expiration": msgspec.to_builtins(given.expiration),
        "expiresAt": (
            None if given.expiration is None else format_instant(expiry("expiration", effective_at, given.expiration))
        ),
        "minRolloverAmount": str(plain(least)),
        "maxRolloverAmount": str(plain(most)),
        "recurrence": None if given.recurrence is None else _recurrence(call, given.recurrence),
        "metadata": given.metadata,
        "voidedAt": None,
    }
    return Reply(201, _shown(call, GRANTS.add(call, services, None, body, entitlement.id)))


def list_grants(call: Call, services: Services) -> Reply:
    """The grants of an entitlement."""
    _, entitlement = found_entitlement(call, services)
    shown = [_shown(call, each) for each in GRANTS.of(call, services, entitlement.id)]
    return page(call, shown) if "customer" in call.parameters else Reply(200, shown)


def list_all_grants(call: Call, services: Services) -> Reply:
    """All grants, filtered by feature and subject."""
    return listed(call, _filtered(call, services))


def page_all_grants(call: Call, services: Services) -> Reply:
    """The same, page by page."""
    return page(call, _filtered(call, services))


def void_grant(call: Call, services: Services) -> Reply:
    """Ends a grant; what was used of it stays used."""
    grant = GRANTS.get(call, services, call.parameters["grant"])
    if grant.body["voidedAt"] is None:
        at = instant("at", call.one("at")) or call.now
        at = max(at, parse_instant(grant.body["effectiveAt"]))
        GRANTS.change(call, services, grant, {**grant.body, "voidedAt": format_instant(at)}, None)
    return Reply(204)


def allotments_of(call: Call, services: Services, entitlement: ContractRecord) -> list[Allotment]:
    """All that an entitlement was granted: by grants, and with each reset."""
    body, found = entitlement.body, []
    if body["issueAfterReset"] is not None:
        amount = Decimal(body["issueAfterReset"])
        found.append(
            Allotment(
                id=f"{entitlement.id}-after-reset",
                amount=amount,
                priority=body["issueAfterResetPriority"],
                effective_at=parse_instant(body["measureUsageFrom"]),
                created_at=entitlement.created_at,
                least_rollover=amount,
                most_rollover=amount,
            )
        )
    return [*found, *map(_allotment, GRANTS.of(call, services, entitlement.id))]


def _allotment(grant: ContractRecord) -> Allotment:
    body = grant.body
    recurrence = body["recurrence"]
    return Allotment(
        id=grant.id,
        amount=Decimal(body["amount"]),
        priority=body["priority"],
        effective_at=parse_instant(body["effectiveAt"]),
        created_at=grant.created_at,
        expires_at=None if body["expiresAt"] is None else parse_instant(body["expiresAt"]),
        voided_at=None if body["voidedAt"] is None else parse_instant(body["voidedAt"]),
        least_rollover=Decimal(body["minRolloverAmount"]),
        most_rollover=Decimal(body["maxRolloverAmount"]),
        interval=None if recurrence is None else interval_of("recurrence.interval", recurrence["interval"]),
        anchor=None if recurrence is None else parse_instant(recurrence["anchor"]),
    )


def _recurrence(call: Call, given: Recurring) -> Mapping[str, str]:
    interval_of("recurrence.interval", given.interval)
    anchor = instant("recurrence.anchor", given.anchor) or call.now
    return {"interval": given.interval, "anchor": format_instant(anchor)}


def _filtered(call: Call, services: Services) -> list[Mapping[str, object]]:
    entitlements = {each.id: each for each in ENTITLEMENTS.all(call, services, deleted=True)}
    found = GRANTS.all(call, services)
    if features := call.every("feature"):
        having = {each.id for each in entitlements.values() if each.body["featureKey"] in features}
        found = [each for each in found if each.body["entitlement"] in having]
    if subjects := call.every("subject"):
        owners = {each.body["owner"] for each in found}
        having = {each for each in owners if {*owner_of_id(call, services, each).subjects} & {*subjects}}
        found = [each for each in found if each.body["owner"] in having]
    if not flag(call, "includeDeleted"):
        found = [each for each in found if entitlements[each.body["entitlement"]].deleted_at is None]
    return [_shown(call, each) for each in found]


def _shown(call: Call, grant: ContractRecord) -> Mapping[str, object]:
    body = grant.body
    shown: dict[str, object] = {
        "id": grant.id,
        "entitlementId": body["entitlement"],
        "amount": plain(Decimal(body["amount"])),
        "priority": body["priority"],
        "effectiveAt": body["effectiveAt"],
        "minRolloverAmount": plain(Decimal(body["minRolloverAmount"])),
        "maxRolloverAmount": plain(Decimal(body["maxRolloverAmount"])),
        "createdAt": written(grant.created_at),
        "updatedAt": written(grant.updated_at),
    }
    for name in ("expiration", "expiresAt", "voidedAt", "metadata"):
        if body[name] is not None:
            shown[name] = body[name]
    if (recurrence := body["recurrence"]) is not None:
        shown["recurrence"] = {**recurrence, "intervalISO": iso_of(recurrence["interval"])}
        interval = interval_of("recurrence.interval", recurrence["interval"])
        shown["nextRecurrence"] = written(period_at(parse_instant(recurrence["anchor"]), interval, call.now).end)
    return shown

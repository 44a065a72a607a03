"""Grants of organizations."""

from __future__ import annotations

import asyncio
from datetime import datetime
from decimal import Decimal

import msgspec
from litestar import Response, Router, get, post
from litestar.params import FromPath, JSONBody

from ..domain.errors import Invalid
from ..domain.grant import Grant, Rollover
from ..domain.period import Interval, format_instant
from ..domain.quantity import ZERO, plain
from ..domain.query_parameters import instant_of
from ..services.grants import DEFAULT_PRIORITY, GrantDraft, Grants
from .authentication import Authentication
from .bodies import json_response
from .openapi import described
from .periods import written
from .readers import Readers
from .request import HttpRequest
from .subscriptions import read_amount, read_anchor


class RecurrenceBody(msgspec.Struct, forbid_unknown_fields=True):
    """The grant is given anew at each boundary of intervals, P1M or P30D, that are counted from `anchor`, an RFC 3339
    instant or a date (UTC); from `effective_at` when absent."""

    interval: str
    anchor: str | None = None


class RolloverBody(msgspec.Struct, forbid_unknown_fields=True):
    """What is left when it is given anew is carried over, but no less than `min` and no more than `max`."""

    max: Decimal
    min: Decimal = ZERO


class NewGrant(msgspec.Struct, forbid_unknown_fields=True):
    """A grant to make. `meter` is the slug of a COUNT or SUM meter, or of a pool. The lowest `priority`, 0 to 255, is
    burned first. `effective_at` is now when absent; without `expires_at` it does not expire, without a `recurrence` it
    is given once, and without a `rollover` nothing is carried over. With an `id` of yours a repeated request grants
    nothing twice."""

    meter: str
    amount: Decimal
    id: str | None = None
    priority: int = DEFAULT_PRIORITY
    effective_at: str | None = None
    expires_at: str | None = None
    recurrence: RecurrenceBody | None = None
    rollover: RolloverBody | None = None
    reason: str | None = None


class GrantBody(msgspec.Struct):
    """A grant. From `voided_at` on it is not in force any more."""

    id: str
    organization: str
    meter: str
    amount: Decimal
    priority: int
    effective_at: str
    expires_at: str | None
    recurrence: RecurrenceBody | None
    rollover: RolloverBody | None
    reason: str | None
    created_at: str
    voided_at: str | None


_EXAMPLE = {
    "id": "order-1017",
    "meter": "tokens",
    "amount": 1_000_000,
    "priority": 10,
    "expires_at": "2027-01-01T00:00:00Z",
    "reason": "Order 1017",
}


def grants_router(grants: Grants, readers: Readers, authentication: Authentication) -> Router:
    """The routes, closed over what they need."""

    @post(
        "/v1/organizations/{organization_id:str}/grants",
        operation_id="createGrant",
        tags=["Grants"],
        guards=[authentication.operator_guard()],
        opt=described(answers={200: GrantBody, 201: GrantBody}, problems=(409,), example=_EXAMPLE),
    )
    async def create_grant(organization_id: FromPath[str], data: JSONBody[NewGrant]) -> Response[bytes]:
        """Grants an amount of a meter or a pool: 201. The same `id` with the same content is the same grant, and a 200;
        with other content it is a 409."""
        draft = _draft(data)
        grant, made = await asyncio.to_thread(grants.grant, organization_id, draft)
        response = json_response(_grant(grant))
        response.status_code = 201 if made else 200
        return response

    @get(
        "/v1/organizations/{organization_id:str}/grants",
        operation_id="listGrants",
        tags=["Grants"],
        opt=described(answers={200: list[GrantBody]}),
    )
    async def list_grants(request: HttpRequest, organization_id: FromPath[str]) -> Response[bytes]:
        """All grants of an organization, the oldest first, those that have ended included. Its subscription's add-ons
        are told with the subscription.

        For the admin key, or a key of the organization itself with a scope that reads usage.
        """

        def listed() -> list[GrantBody]:
            return [_grant(grant) for grant in grants.of(readers.organization(request, organization_id).id)]

        return json_response(await asyncio.to_thread(listed))

    @post(
        "/v1/organizations/{organization_id:str}/grants/{grant_id:str}/void",
        status_code=200,
        operation_id="voidGrant",
        tags=["Grants"],
        guards=[authentication.operator_guard()],
        opt=described(answers={200: GrantBody}),
    )
    async def void_grant(organization_id: FromPath[str], grant_id: FromPath[str]) -> Response[bytes]:
        """Lets a grant end now. What was burned of it stays burned; a voided grant stays as it is."""
        return json_response(_grant(await asyncio.to_thread(grants.void, organization_id, grant_id)))

    return Router("/", route_handlers=[create_grant, list_grants, void_grant])


def _draft(body: NewGrant) -> GrantDraft:
    def instant(name: str, text: str | None) -> datetime | None:
        return None if text is None else instant_of(name, text)

    recurrence, rollover = body.recurrence, body.rollover
    return GrantDraft(
        meter=body.meter,
        amount=read_amount(body.amount, "amount"),
        id=body.id,
        priority=body.priority,
        effective_at=instant("effective_at", body.effective_at),
        expires_at=instant("expires_at", body.expires_at),
        interval=_interval(recurrence.interval) if recurrence is not None else None,
        anchor=_anchor(recurrence.anchor) if recurrence is not None and recurrence.anchor is not None else None,
        rollover=Rollover(read_amount(rollover.min, "rollover.min"), read_amount(rollover.max, "rollover.max"))
        if rollover is not None
        else None,
        reason=body.reason,
    )


def _interval(text: str) -> Interval:
    try:
        return Interval.parse(text)
    except Invalid as wrong:
        raise Invalid(f"recurrence: {wrong}") from None


def _anchor(text: str) -> datetime:
    try:
        return read_anchor(text)
    except Invalid as wrong:
        raise Invalid(f"recurrence: {wrong}") from None


def _grant(grant: Grant) -> GrantBody:
    recurrence, rollover = grant.recurrence, grant.rollover
    return GrantBody(
        id=grant.id,
        organization=grant.organization,
        meter=grant.meter,
        amount=plain(grant.amount),
        priority=grant.priority,
        effective_at=format_instant(grant.effective_at),
        expires_at=written(grant.expires_at),
        recurrence=RecurrenceBody(str(recurrence.interval), format_instant(recurrence.anchor)) if recurrence else None,
        rollover=RolloverBody(plain(rollover.most), plain(rollover.least)) if rollover else None,
        reason=grant.reason,
        created_at=format_instant(grant.created_at),
        voided_at=written(grant.voided_at),
    )

"""Unsiloed: credits in cycles of 30 days, and a quota that may go below zero."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from ..domain.organization import Caller, KeyFormat
from ..domain.period import THIRTY_DAYS, period_at
from ..domain.quantity import ZERO, plain, subtract
from ..ports.usage_reader import UsageReader
from .contract import HEX, Answer, Contract, Date, Refusal, Refused, Request, Route, Shortage


class Body(msgspec.Struct):
    """The 200 answer. `remaining_quota` is limit minus usage, negative on overuse."""

    org_id: str
    org_name: str
    current_usage: Decimal
    usage_limit: Decimal
    remaining_quota: Decimal
    last_billed_date: Date


class QuotaData(msgspec.Struct):
    """The cycle's numbers; nothing is left."""

    current: Decimal
    limit: Decimal
    remaining: Decimal


class QuotaDetail(msgspec.Struct):
    """What a client of a metered call reads."""

    message: Literal["Insufficient quota"]
    status: Literal["QUOTA_EXCEEDED"]
    quota_data: QuotaData


class QuotaRefusal(msgspec.Struct):
    """The 402 of the product's metered calls."""

    detail: QuotaDetail


class Error(msgspec.Struct):
    """Every error."""

    detail: str


def get_usage(_request: Request, _caller: Caller, usage: UsageReader) -> Answer:
    """The current 30-day cycle, counted from the subscription's anchor, or else from the organization's creation."""
    anchor = usage.subscription.anchor if usage.subscription else usage.organization.created_at
    cycle = period_at(anchor, THIRTY_DAYS, usage.now)
    assert cycle.start is not None
    used, limit = usage.total("credits", cycle), usage.limit("credits") or ZERO
    body = Body(
        org_id=usage.organization.id,
        org_name=usage.organization.name,
        current_usage=plain(used),
        usage_limit=plain(limit),
        remaining_quota=plain(subtract(limit, used)),
        last_billed_date=cycle.start.date().isoformat(),
    )
    return Answer(200, body, valid_until=cycle.end)


def credential(headers: Mapping[str, str]) -> str | None:
    """The `api-key` header."""
    return headers.get("api-key") or None


_REFUSALS = {
    Refusal.NO_CREDENTIAL: (401, "API key is required. Please provide 'api-key' in the request header."),
    Refusal.BAD_CREDENTIAL: (401, "Invalid API key"),
    Refusal.ORGANIZATION_GONE: (404, "Organization not found"),
    Refusal.FORBIDDEN: (403, "Forbidden"),
    Refusal.INVALID: (422, "Invalid request"),
    Refusal.NOT_FOUND: (404, "Not Found"),
    Refusal.METHOD_NOT_ALLOWED: (405, "Method Not Allowed"),
    Refusal.RATE_LIMITED: (429, "Too Many Requests"),
    Refusal.INTERNAL: (500, "Internal Server Error"),
}


def refuse(_request: Request, refused: Refused) -> Answer:
    """A single `detail`."""
    status, detail = _REFUSALS[refused.refusal]
    return Answer(status, Error(refused.message or detail))


EXAMPLE = Body("org_123", "Paperworks Inc.", Decimal(1500), Decimal(10000), Decimal(8500), "2026-03-06")


def insufficient_quota(shortage: Shortage) -> Answer:
    """The 402 of a metered call, as the product's clients know it: the numbers are those of the limit that refused."""
    data = QuotaData(plain(shortage.used), plain(shortage.limit), plain(shortage.left))
    return Answer(402, QuotaRefusal(QuotaDetail("Insufficient quota", "QUOTA_EXCEEDED", data)))


CONTRACT = Contract(
    name="unsiloed",
    title="Unsiloed organization usage",
    source="Unsiloed API reference, GET /org/get_usage",
    key_format=KeyFormat("unsiloed_", HEX, 48),
    default_scopes=frozenset({"usage:read"}),
    scopes=frozenset({"usage:read", "events:write"}),
    security={"apiKey": {"type": "apiKey", "in": "header", "name": "api-key"}},
    credential=credential,
    refuse=refuse,
    error=Error,
    insufficient_quota=insufficient_quota,
    routes=(
        Route(
            paths=("/api/v1/org/get_usage", "/org/get_usage"),
            handle=get_usage,
            scope="usage:read",
            operation_id="getOrganizationUsage",
            summary="Get Organization Usage",
            response=Body,
            example=EXAMPLE,
        ),
    ),
)

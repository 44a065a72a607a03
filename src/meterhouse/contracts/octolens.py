"""Octolens: mentions and keywords against a plan, with optional metered overage (flex)."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from ..domain.organization import Key, KeyFormat
from ..domain.period import Period
from ..domain.plan import flex_capacity
from ..domain.quantity import ZERO, subtract
from ..ports import UsageReader
from .contract import BASE62, Answer, Contract, Refusal, Refused, Request, Route, bearer

MAX_SAFE_INTEGER = 2**53 - 1

SafeInteger = Annotated[int, msgspec.Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]


class Mentions(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Mentions of the cycle. `resetAt` is null for a plan without a reset schedule."""

    count: SafeInteger
    limit: SafeInteger
    reset_at: str | None


class Keywords(msgspec.Struct, forbid_unknown_fields=True):
    """Keywords that are active or paused now."""

    count: SafeInteger
    limit: SafeInteger


class Flex(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Metered overage: what went beyond the allowance, as far as the budget reaches."""

    enabled: Literal[True]
    budget_cents: SafeInteger
    used: SafeInteger
    reset_at: str | None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The 200 answer; the key `flex` is absent unless flex is on."""

    plan: str | None
    mentions: Mentions
    keywords: Keywords
    flex: Flex | msgspec.UnsetType = msgspec.UNSET


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    """`details` only with VALIDATION_ERROR."""

    code: str
    message: str
    status: int
    details: list[dict[str, str]] | None = None


class Error(msgspec.Struct):
    """Every error."""

    error: ErrorDetail


def usage(_request: Request, _key: Key, usage: UsageReader) -> Answer:
    """Mentions of the cycle and keywords of this moment."""
    period = usage.period()
    mentions = usage.total("mentions", period)
    subscription = usage.subscription
    limit = usage.limit("mentions") or ZERO
    body = Body(
        plan=subscription.plan if subscription else None,
        mentions=Mentions(_integer(mentions), _integer(limit), _reset_at(period)),
        keywords=Keywords(_integer(usage.total("keywords", period)), _integer(usage.limit("keywords") or ZERO)),
    )
    if subscription is not None and subscription.flex is not None and subscription.flex.enabled:
        overflow = max(ZERO, subtract(mentions, limit))
        body.flex = Flex(
            enabled=True,
            budget_cents=_integer(subscription.flex.budget_cents),
            used=_integer(min(overflow, flex_capacity(subscription.flex))),
            reset_at=_reset_at(period),
        )
    return Answer(200, body)


def _reset_at(period: Period) -> str | None:
    return period.end.strftime("%Y-%m-%dT%H:%M:%S.000Z") if period.end is not None else None


def _integer(value: Decimal) -> int:
    return max(-MAX_SAFE_INTEGER, min(MAX_SAFE_INTEGER, int(value)))


_REFUSALS = {
    Refusal.NO_CREDENTIAL: (401, "UNAUTHORIZED", "Missing API key"),
    Refusal.BAD_CREDENTIAL: (401, "UNAUTHORIZED", "Invalid API key"),
    Refusal.ORGANIZATION_GONE: (404, "NOT_FOUND", "Organization not found"),
    Refusal.FORBIDDEN: (403, "FORBIDDEN", "This API key lacks the required scope"),
    Refusal.INVALID: (400, "VALIDATION_ERROR", "Invalid request"),
    Refusal.NOT_FOUND: (404, "NOT_FOUND", "Not found"),
    Refusal.METHOD_NOT_ALLOWED: (405, "METHOD_NOT_ALLOWED", "Use GET"),
    Refusal.INTERNAL: (500, "INTERNAL_ERROR", "Internal error"),
}


def refuse(_request: Request, refused: Refused) -> Answer:
    """One error object, with details of a validation only."""
    status, code, message = _REFUSALS[refused.refusal]
    details = [{"field": refused.field, "message": refused.message}] if refused.refusal is Refusal.INVALID else None
    return Answer(status, Error(ErrorDetail(code, message, status, details)))


CONTRACT = Contract(
    name="octolens",
    title="Octolens organization usage",
    source="Octolens API v2 reference, GET /org/usage",
    key_format=KeyFormat("ak_", BASE62, 40),
    default_scopes=frozenset({"read"}),
    scopes=frozenset({"read", "write", "admin", "events:write"}),
    scope_order=("read", "write", "admin"),
    security={"bearer": {"type": "http", "scheme": "bearer"}},
    credential=bearer,
    refuse=refuse,
    error=Error,
    routes=(
        Route(
            paths=("/api/v2/org/usage",),
            handle=usage,
            scope="read",
            summary="Plan, mentions and keywords of the organization",
            response=Body,
        ),
    ),
)

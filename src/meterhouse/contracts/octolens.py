"""Octolens: mentions and keywords against a plan, with optional metered overage (flex)."""

from __future__ import annotations

from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Literal

import msgspec

from ..domain.organization import Caller, KeyFormat
from ..domain.period import Period
from ..domain.plan import bought_by_flex
from ..domain.quantity import ZERO, subtract
from ..ports.usage_reader import UsageReader
from .contract import (
    BASE62,
    FOREVER,
    Answer,
    Contract,
    Options,
    Refusal,
    Refused,
    Request,
    RequestsPerHour,
    Route,
    Shortage,
    bearer,
)

MAX_SAFE_INTEGER = 2**53 - 1

FLEX_COUNTS_TWICE = False
"""Whether `mentions.count` has also the mentions that `flex.used` has. No public source says so; the documentation's
alert at `count / limit > 0.9` fits a count that stops at the limit while the budget lasts."""

SafeInteger = Annotated[int, msgspec.Meta(ge=-MAX_SAFE_INTEGER, le=MAX_SAFE_INTEGER)]


ResetAt = Annotated[
    str,
    msgspec.Meta(pattern=r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.000Z$", extra_json_schema={"format": "date-time"}),
]


class ApiErrorCode(StrEnum):
    """Every code the product's API answers with, by its status (github.com/octolens/skill, references/REST-API.md).
    The list is closed: a typed client fails on any other, so another method than GET is a path that is not there."""

    VALIDATION_ERROR = "VALIDATION_ERROR"
    KEYWORD_LIMIT_EXCEEDED = "KEYWORD_LIMIT_EXCEEDED"
    LAST_ADMIN = "LAST_ADMIN"
    ITEM_EXISTS = "ITEM_EXISTS"
    INVALID_DOMAIN = "INVALID_DOMAIN"
    INVALID_TIMEZONE = "INVALID_TIMEZONE"
    UNAUTHORIZED = "UNAUTHORIZED"
    QUOTA_EXCEEDED = "QUOTA_EXCEEDED"
    FORBIDDEN = "FORBIDDEN"
    UPGRADE_REQUIRED = "UPGRADE_REQUIRED"
    NOT_FOUND = "NOT_FOUND"
    FEED_NOT_FOUND = "FEED_NOT_FOUND"
    KEYWORD_NOT_FOUND = "KEYWORD_NOT_FOUND"
    POST_NOT_FOUND = "POST_NOT_FOUND"
    SEARCH_NOT_FOUND = "SEARCH_NOT_FOUND"
    SUGGESTION_NOT_FOUND = "SUGGESTION_NOT_FOUND"
    COMPANY_NOT_FOUND = "COMPANY_NOT_FOUND"
    ORG_NOT_FOUND = "ORG_NOT_FOUND"
    SETTINGS_NOT_FOUND = "SETTINGS_NOT_FOUND"
    RATE_LIMITED = "RATE_LIMITED"
    INTERNAL_ERROR = "INTERNAL_ERROR"


class Mentions(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Mentions of the cycle but those in `flex`. `resetAt` is null for a plan without a reset schedule."""

    count: SafeInteger
    limit: SafeInteger
    reset_at: ResetAt | None


class Keywords(msgspec.Struct, forbid_unknown_fields=True):
    """Keywords that are active or paused now."""

    count: SafeInteger
    limit: SafeInteger


class Flex(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """Metered overage: what went beyond the allowance, as far as the budget reaches."""

    enabled: Literal[True]
    budget_cents: SafeInteger
    used: SafeInteger
    reset_at: ResetAt | None


class Body(msgspec.Struct, forbid_unknown_fields=True):
    """The 200 answer; the key `flex` is absent unless flex is on."""

    plan: str | None
    mentions: Mentions
    keywords: Keywords
    flex: Flex | msgspec.UnsetType = msgspec.UNSET


class Problem(msgspec.Struct):
    """A parameter at fault."""

    path: str
    message: str


class ErrorDetail(msgspec.Struct, omit_defaults=True):
    """`details` only with VALIDATION_ERROR."""

    code: ApiErrorCode
    message: str
    status: int
    details: list[Problem] | None = None


class Error(msgspec.Struct):
    """Every error."""

    error: ErrorDetail


class OctolensOptions(Options, frozen=True, kw_only=True):
    """The product's own limit."""

    requests_per_hour: RequestsPerHour = 500


def get_org_usage(_request: Request, _caller: Caller, usage: UsageReader) -> Answer:
    """Mentions of the cycle and keywords of this moment."""
    period = usage.period()
    mentions = usage.total("mentions", period)
    subscription = usage.subscription
    limit = usage.limit("mentions") or ZERO
    flex = subscription.flex if subscription is not None and subscription.flex and subscription.flex.enabled else None
    flexed = min(max(ZERO, subtract(mentions, limit)), bought_by_flex(subscription))
    count = mentions if FLEX_COUNTS_TWICE else subtract(mentions, flexed)
    body = Body(
        plan=subscription.plan if subscription else None,
        mentions=Mentions(_integer(count), _integer(limit), _reset_at(period)),
        keywords=Keywords(_integer(usage.total("keywords", period)), _integer(usage.limit("keywords") or ZERO)),
    )
    if flex is not None:
        body.flex = Flex(
            enabled=True,
            budget_cents=_integer(flex.budget_cents),
            used=_integer(flexed),
            reset_at=_reset_at(period),
        )
    return Answer(200, body, valid_until=FOREVER)


def _reset_at(period: Period) -> str | None:
    return period.end.strftime("%Y-%m-%dT%H:%M:%S.000Z") if period.end is not None else None


def _integer(value: Decimal) -> int:
    return max(-MAX_SAFE_INTEGER, min(MAX_SAFE_INTEGER, int(value)))


_REFUSALS = {
    Refusal.NO_CREDENTIAL: (401, ApiErrorCode.UNAUTHORIZED, "Missing API key"),
    Refusal.BAD_CREDENTIAL: (401, ApiErrorCode.UNAUTHORIZED, "Invalid API key"),
    Refusal.ORGANIZATION_GONE: (404, ApiErrorCode.ORG_NOT_FOUND, "Organization not found"),
    Refusal.FORBIDDEN: (403, ApiErrorCode.FORBIDDEN, "This API key lacks the required scope"),
    Refusal.INVALID: (400, ApiErrorCode.VALIDATION_ERROR, "Invalid request"),
    Refusal.NOT_FOUND: (404, ApiErrorCode.NOT_FOUND, "Not found"),
    Refusal.METHOD_NOT_ALLOWED: (404, ApiErrorCode.NOT_FOUND, "Not found"),
    Refusal.RATE_LIMITED: (429, ApiErrorCode.RATE_LIMITED, "Rate limit exceeded"),
    Refusal.INTERNAL: (500, ApiErrorCode.INTERNAL_ERROR, "Internal error"),
}


def refuse(_request: Request, refused: Refused) -> Answer:
    """One error object, with details of a validation only."""
    status, code, message = _REFUSALS[refused.refusal]
    details = [Problem(refused.field, refused.message)] if refused.refusal is Refusal.INVALID else None
    return Answer(status, Error(ErrorDetail(code, message, status, details)))


def insufficient_quota(shortage: Shortage) -> Answer | None:
    """The 402 of a call that finds mentions. The product has none about keywords, whose limit is a 400 of its own."""
    if shortage.meter != "mentions":
        return None
    return Answer(402, Error(ErrorDetail(ApiErrorCode.QUOTA_EXCEEDED, shortage.message, 402)))


EXAMPLE = Body(
    plan="Pro_v3",
    mentions=Mentions(1240, 5000, "2026-09-01T00:00:00.000Z"),
    keywords=Keywords(7, 15),
)
"""The one that the product's documentation prints."""


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
    insufficient_quota=insufficient_quota,
    options=OctolensOptions(),
    routes=(
        Route(
            paths=("/api/v2/org/usage",),
            handle=get_org_usage,
            scope="read",
            operation_id="getOrgUsage",
            summary="Plan, mentions and keywords of the organization",
            response=Body,
            example=EXAMPLE,
        ),
    ),
)

"""Autoposting: `GET /usage/summary`, a flat error string and camelCase."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import msgspec

from ..domain.meter import StateWindow
from ..domain.organization import Key, KeyFormat
from ..domain.period import ALL_TIME, MONTHLY, Period, format_instant, period_at
from ..domain.quantity import ZERO, plain, subtract
from ..ports import UsageReader
from .contract import BASE62, Answer, Contract, Refusal, Refused, Request, Route, bearer


class PeriodBody(msgspec.Struct):
    """The current billing cycle, half-open."""

    start: str
    end: str


class Posts(msgspec.Struct):
    """Posts by their latest state."""

    published: int
    failed: int
    scheduled: int


class Clips(msgspec.Struct):
    """Clips in the period."""

    uploaded: int
    rendered: int


class Agents(msgspec.Struct, rename="camel"):
    """Agent runs in the period, and what they wrote."""

    runs: int
    posts_generated: Decimal


class Credits(msgspec.Struct):
    """Plan and grants, what of it is used in the period, and what is left, never negative."""

    allocated: Decimal
    used: Decimal
    remaining: Decimal


class AiTokens(msgspec.Struct):
    """The plan's allowance, and input plus output tokens used in the period."""

    total: Decimal
    used: Decimal


class Data(msgspec.Struct, rename="camel"):
    """The summary itself."""

    period: PeriodBody
    posts: Posts
    clips: Clips
    agents: Agents
    credits: Credits
    ai_tokens: AiTokens


class Body(msgspec.Struct):
    """The 200 answer."""

    success: Literal[True]
    data: Data


class Error(msgspec.Struct):
    """Every error; `error` is a flat string."""

    success: Literal[False]
    error: str
    message: str


def summary(_request: Request, _key: Key, usage: UsageReader) -> Answer:
    """The organization's current billing cycle."""
    period = billing_cycle(usage)
    posts = usage.states("posts", period, StateWindow.CHANGED)
    scheduled = usage.states("posts", ALL_TIME, StateWindow.NOW)
    allocated, used = usage.limit("credits") or ZERO, usage.total("credits", period)
    assert period.start is not None
    assert period.end is not None

    def count(meter: str) -> int:
        return int(usage.total(meter, period))

    data = Data(
        period=PeriodBody(format_instant(period.start), format_instant(period.end)),
        posts=Posts(
            published=int(posts.get("published", ZERO)),
            failed=int(posts.get("failed", ZERO)),
            scheduled=int(scheduled.get("scheduled", ZERO)),
        ),
        clips=Clips(uploaded=count("clips_uploaded"), rendered=count("clips_rendered")),
        agents=Agents(count("agent_runs"), plain(usage.total("agent_posts_generated", period))),
        credits=Credits(plain(allocated), plain(used), plain(max(ZERO, subtract(allocated, used)))),
        ai_tokens=AiTokens(plain(usage.limit("ai_tokens") or ZERO), plain(usage.total("ai_tokens", period))),
    )
    return Answer(200, Body(success=True, data=data))


def billing_cycle(usage: UsageReader) -> Period:
    """Calendar months from the subscription's anchor; without a subscription, from the organization's creation."""
    anchor = usage.subscription.anchor if usage.subscription else usage.organization.created_at
    return period_at(anchor, MONTHLY, usage.now)


def credential(headers: Mapping[str, str]) -> str | None:
    """`Authorization: Bearer` wins over `x-api-key` when both are sent."""
    return bearer(headers) or headers.get("x-api-key") or None


_UNAUTHORIZED = (401, "unauthorized", "Missing or invalid API key.")
_REFUSALS = {
    Refusal.NO_CREDENTIAL: _UNAUTHORIZED,
    Refusal.BAD_CREDENTIAL: _UNAUTHORIZED,
    Refusal.ORGANIZATION_GONE: _UNAUTHORIZED,
    Refusal.FORBIDDEN: (403, "forbidden", "This API key may not read usage."),
    Refusal.INVALID: (400, "invalid_request", "The request is not valid."),
    Refusal.NOT_FOUND: (404, "not_found", "Not found."),
    Refusal.METHOD_NOT_ALLOWED: (405, "method_not_allowed", "Use GET."),
    Refusal.INTERNAL: (500, "internal_error", "Something went wrong."),
}


def refuse(_request: Request, refused: Refused) -> Answer:
    """A flat error string beside a message."""
    status, error, message = _REFUSALS[refused.refusal]
    return Answer(status, Error(success=False, error=error, message=refused.message or message))


CONTRACT = Contract(
    name="autoposting",
    title="Autoposting usage",
    source="Autoposting API reference, GET /usage/summary",
    key_format=KeyFormat("sk-social-", BASE62, 32),
    default_scopes=frozenset({"usage:read"}),
    scopes=frozenset({"usage:read", "events:write"}),
    security={
        "bearer": {"type": "http", "scheme": "bearer"},
        "apiKey": {"type": "apiKey", "in": "header", "name": "x-api-key"},
    },
    credential=credential,
    refuse=refuse,
    error=Error,
    routes=(
        Route(
            paths=("/api-proxy/usage/summary", "/usage/summary"),
            handle=summary,
            scope="usage:read",
            summary="Usage of the current billing cycle",
            response=Body,
        ),
    ),
)

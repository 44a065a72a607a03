"""Autoposting: `GET /usage/summary`, a flat error string and camelCase.

The product's own SDK and command line send `x-source: sdk` and read other keys at the same path; they get them beside
those of the page. Their shape is that of the package @autoposting.ai/sdk, `packages/sdk/src/types/usage.ts`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Literal

import msgspec

from ..domain.meter import StateWindow
from ..domain.organization import Caller, KeyFormat
from ..domain.period import ALL_TIME, MONTHLY, Period, period_at
from ..domain.quantity import ZERO, add, plain
from ..ports.usage_reader import UsageReader
from .contract import (
    BASE62,
    Answer,
    Contract,
    Date,
    DateTime,
    Options,
    Refusal,
    Refused,
    Request,
    RequestsPerHour,
    Route,
    bearer,
    timestamp,
)

SOURCES = ("dashboard", "api", "mcp", "cli", "agent")


class PeriodBody(msgspec.Struct):
    """The current billing cycle, half-open."""

    start: DateTime
    end: DateTime


class Posts(msgspec.Struct, rename="camel"):
    """Posts by their latest state. For the SDK also those created in the cycle, by where they came from."""

    published: int
    scheduled: int
    failed: int
    total: int | msgspec.UnsetType = msgspec.UNSET
    by_source: dict[str, int] | msgspec.UnsetType = msgspec.UNSET


class Clips(msgspec.Struct):
    """Clips in the period."""

    uploaded: int
    rendered: int


class Agents(msgspec.Struct, rename="camel"):
    """Agent runs in the period, and what they wrote. For the SDK also how many agents there are, and how many ran."""

    runs: int
    posts_generated: int
    total: int | msgspec.UnsetType = msgspec.UNSET
    active: int | msgspec.UnsetType = msgspec.UNSET


class Credits(msgspec.Struct):
    """Plan and grants, what of it is used in the period, and what is left of the two as they are shown, never
    negative."""

    allocated: int
    used: int
    remaining: int


class AiTokens(msgspec.Struct):
    """The plan's allowance, and input plus output tokens used in the period."""

    total: int
    used: int


class Range(msgspec.Struct, rename={"from_": "from"}):
    """For the SDK: the billing cycle with its last millisecond, as the SDK's own tests print it."""

    from_: DateTime
    to: DateTime


class ModelUsage(msgspec.Struct, rename="camel"):
    """One AI model in the cycle."""

    model: str
    cost_usd: Decimal
    input_tokens: Decimal
    output_tokens: Decimal
    requests: int


class Ai(msgspec.Struct, rename="camel"):
    """For the SDK: AI models in the cycle, the most expensive first."""

    total_cost_usd: Decimal
    input_tokens: Decimal
    output_tokens: Decimal
    total_tokens: Decimal
    requests: int
    by_model: list[ModelUsage]


class PostsOfDay(msgspec.Struct):
    """Posts created on one day (UTC)."""

    date: Date
    count: int


class AiCostOfDay(msgspec.Struct, rename="camel"):
    """AI cost and requests of one day (UTC)."""

    date: Date
    cost_usd: Decimal
    requests: int


class Trend(msgspec.Struct, rename="camel"):
    """For the SDK: every day of the cycle up to now, oldest first, filled with zeros."""

    posts: list[PostsOfDay]
    ai_cost: list[AiCostOfDay]


class Data(msgspec.Struct, rename="camel"):
    """The summary itself. `range`, `ai` and `trend` are there for `x-source: sdk` only."""

    period: PeriodBody
    posts: Posts
    clips: Clips
    agents: Agents
    credits: Credits
    ai_tokens: AiTokens
    range: Range | msgspec.UnsetType = msgspec.UNSET
    ai: Ai | msgspec.UnsetType = msgspec.UNSET
    trend: Trend | msgspec.UnsetType = msgspec.UNSET


class Body(msgspec.Struct):
    """The 200 answer."""

    success: Literal[True]
    data: Data


class Error(msgspec.Struct):
    """Every error; `error` is a flat string."""

    success: Literal[False]
    error: str
    message: str


class AutopostingOptions(Options, frozen=True, kw_only=True):
    """The page names the headers of a rate limit and no number."""

    requests_per_hour: RequestsPerHour = 100_000


def usage_summary(request: Request, _caller: Caller, usage: UsageReader) -> Answer:
    """The organization's current billing cycle."""
    period = billing_cycle(usage)
    changes = usage.state_windows("posts", (None, period.start, period.end, None), StateWindow.CHANGED)
    posts = changes[1]
    credits, tokens, uploaded, rendered, runs, generated = usage.totals(
        ("credits", "ai_tokens", "clips_uploaded", "clips_rendered", "agent_runs", "agent_posts_generated"), period
    )
    allocated, used = math.floor(usage.limit("credits") or ZERO), math.floor(credits)
    assert period.start is not None
    assert period.end is not None
    data = Data(
        period=PeriodBody(timestamp(period.start), timestamp(period.end)),
        posts=Posts(
            published=int(posts.get("published", ZERO)),
            scheduled=int(add(states.get("scheduled", ZERO) for states in changes)),
            failed=int(posts.get("failed", ZERO)),
        ),
        clips=Clips(uploaded=int(uploaded), rendered=int(rendered)),
        agents=Agents(int(runs), math.floor(generated)),
        credits=Credits(allocated, used, max(0, allocated - used)),
        ai_tokens=AiTokens(math.floor(usage.limit("ai_tokens") or ZERO), math.floor(tokens)),
    )
    valid_until = period.end
    if request.headers.get("x-source") == "sdk":
        valid_until = _add_sdk_keys(data, usage, period)
    return Answer(200, Body(success=True, data=data), valid_until=valid_until)


def _add_sdk_keys(data: Data, usage: UsageReader, period: Period) -> datetime:
    """What the SDK reads beside the page's keys, which keep their meaning; answers when the trend's last day ends."""
    assert period.start is not None
    assert period.end is not None
    created = usage.state_groups("posts", period, StateWindow.CREATED, "source")
    data.posts.total = int(add(created.values()))
    data.posts.by_source = {source: int(created.get(source, ZERO)) for source in SOURCES}
    data.agents.total = int(usage.total("agents", ALL_TIME))
    data.agents.active = int(usage.total("agents", period))
    last_moment = period.end - timedelta(milliseconds=1)
    data.range = Range(_milliseconds(period.start), _milliseconds(last_moment))
    meters = ("ai_cost", "ai_input_tokens", "ai_output_tokens", "ai_requests")
    costs, inputs, outputs, requests = usage.groups(meters, period, "model")
    total_input, total_output = add(inputs.values()), add(outputs.values())
    data.ai = Ai(
        total_cost_usd=plain(add(costs.values())),
        input_tokens=plain(total_input),
        output_tokens=plain(total_output),
        total_tokens=plain(add((total_input, total_output))),
        requests=int(add(requests.values())),
        by_model=[
            ModelUsage(
                model=model,
                cost_usd=plain(costs.get(model, ZERO)),
                input_tokens=plain(inputs.get(model, ZERO)),
                output_tokens=plain(outputs.get(model, ZERO)),
                requests=int(requests[model]),
            )
            for model in sorted(
                requests, key=lambda model: (costs.get(model, ZERO).copy_negate(), -requests[model], model)
            )
        ],
    )
    edges = _days(period, usage.now)
    days = [edge.date().isoformat() for edge in edges[:-1]]
    posts = [add(states.values()) for states in usage.state_windows("posts", edges, StateWindow.CREATED)]
    cost, asked = usage.windows(("ai_cost", "ai_requests"), edges)
    data.trend = Trend(
        posts=[PostsOfDay(day, int(count)) for day, count in zip(days, posts, strict=True)],
        ai_cost=[AiCostOfDay(day, plain(usd), int(n)) for day, usd, n in zip(days, cost, asked, strict=True)],
    )
    return edges[-1]


def _days(period: Period, now: datetime) -> list[datetime]:
    """The edges of the days (UTC) of the cycle up to now; the first and the last may be cut by the cycle."""
    assert period.start is not None
    assert period.end is not None
    edges, midnight = [period.start], datetime.combine(period.start.date(), datetime.min.time(), UTC)
    while (midnight := midnight + timedelta(days=1)) <= now and midnight < period.end:
        edges.append(midnight)
    return [*edges, min(midnight, period.end)]


def _milliseconds(instant: datetime) -> str:
    return instant.isoformat(timespec="milliseconds").replace("+00:00", "Z")


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
    Refusal.RATE_LIMITED: (429, "rate_limited", "Too many requests. Try again later."),
    Refusal.INTERNAL: (500, "internal_error", "Something went wrong."),
}


def refuse(_request: Request, refused: Refused) -> Answer:
    """A flat error string beside a message."""
    status, error, message = _REFUSALS[refused.refusal]
    return Answer(status, Error(success=False, error=error, message=refused.message or message))


EXAMPLE = Body(
    success=True,
    data=Data(
        period=PeriodBody("2026-02-28T00:00:00Z", "2026-03-31T00:00:00Z"),
        posts=Posts(published=42, scheduled=7, failed=1),
        clips=Clips(uploaded=6, rendered=18),
        agents=Agents(12, 30),
        credits=Credits(5000, 1312, 3688),
        ai_tokens=AiTokens(5_000_000, 204_800),
    ),
)

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
    options=AutopostingOptions(),
    routes=(
        Route(
            paths=("/api-proxy/usage/summary", "/usage/summary"),
            handle=usage_summary,
            scope="usage:read",
            operation_id="getUsageSummary",
            summary="Usage of the current billing cycle",
            response=Body,
            example=EXAMPLE,
            parameters=(
                {
                    "name": "x-source",
                    "in": "header",
                    "required": False,
                    "description": "`sdk` adds the keys that the product's SDK reads.",
                    "schema": {"type": "string"},
                },
            ),
            refusals=(Refusal.INVALID,),
        ),
    ),
)

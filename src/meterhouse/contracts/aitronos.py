"""Aitronos: all-time totals in Swiss francs, no envelope, mixed case exactly as its page has it.

The product's own SDK (`aitronos-sdk`) reads snake_case only, at the same path. It gets those keys beside the page's.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Literal

import msgspec

from ..domain.local_time import end_of_date
from ..domain.organization import Caller, KeyFormat
from ..domain.period import ALL_TIME, Period, add_months
from ..domain.quantity import ZERO, Plain, divide, percentage, plain, round_half_up
from ..ports.usage_reader import UsageReader
from .contract import HEX, Answer, Contract, Date, DateTime, Options, Refusal, Refused, Request, Route, timestamp


class AitronosOptions(Options, frozen=True, kw_only=True):
    """What the page leaves open."""

    top_models: Annotated[int, msgspec.Meta(ge=0, le=100, description="How many models `topModels` lists.")] = 5


class TopModel(msgspec.Struct):
    """One model's part; `percentage` is its share of all-time cost."""

    model: str
    cost: Decimal
    requests: int
    percentage: Decimal


class CurrentMonth(msgspec.Struct):
    """The UTC calendar month to date."""

    cost: Decimal
    requests: int


class TimeRange(msgspec.Struct):
    """From the organization's creation or first event, whichever is earlier, to today (UTC dates)."""

    start: Date
    end: Date
    period: Literal["all_time"]


class Body(msgspec.Struct):
    """The 200 answer. Costs are in CHF. What has two names is there twice for the SDK only, which reads the second."""

    organization_id: str
    totalRequests: int
    total_synapses: Decimal
    totalNeurons: Decimal
    totalCost: Decimal
    averageCostPerRequest: Decimal
    topModels: list[TopModel]
    currentMonth: CurrentMonth
    timeRange: TimeRange
    total_requests: int | msgspec.UnsetType = msgspec.UNSET
    total_neurons: Decimal | msgspec.UnsetType = msgspec.UNSET
    total_cost: Decimal | msgspec.UnsetType = msgspec.UNSET
    average_cost_per_request: Decimal | msgspec.UnsetType = msgspec.UNSET
    top_models: list[TopModel] | msgspec.UnsetType = msgspec.UNSET
    current_month: CurrentMonth | msgspec.UnsetType = msgspec.UNSET
    time_range: TimeRange | msgspec.UnsetType = msgspec.UNSET


class ErrorDetail(msgspec.Struct):
    """What went wrong, for people and for programs."""

    code: str
    message: str
    system_message: str
    type: str
    status: int
    trace_id: str
    timestamp: DateTime


class Error(msgspec.Struct):
    """Every error."""

    success: Literal[False]
    error: ErrorDetail


def usage_summary(request: Request, _caller: Caller, usage: UsageReader) -> Answer:
    """All-time totals of the organization in the path, which must be the key's own."""
    organization = usage.organization
    if request.path_parameters["org_id"] != organization.id:
        raise Refused(Refusal.FORBIDDEN)
    now = usage.now
    month_start = datetime(now.year, now.month, 1, tzinfo=UTC)
    month = Period(month_start, add_months(month_start, 1))
    cost, count, synapses, neurons = usage.totals(("cost", "requests", "synapses", "neurons"), ALL_TIME)
    top = usage.top(("cost", "requests"), ALL_TIME, "model", request.options.top_models)
    month_cost, month_requests = usage.totals(("cost", "requests"), month)
    began = min(organization.created_at, usage.first_event_at() or organization.created_at)
    body = Body(
        organization_id=organization.id,
        totalRequests=int(count),
        total_synapses=_decimal(synapses),
        totalNeurons=_decimal(neurons),
        totalCost=_rounded(cost, 2),
        averageCostPerRequest=_rounded(divide(cost, count) if count else ZERO, 2),
        topModels=[
            TopModel(
                model=model,
                cost=_rounded(model_cost, 2),
                requests=int(requests),
                percentage=_rounded(percentage(model_cost, cost) if cost else ZERO, 1),
            )
            for model, (model_cost, requests) in top
        ],
        currentMonth=CurrentMonth(_rounded(month_cost, 2), int(month_requests)),
        timeRange=TimeRange(began.date().isoformat(), now.date().isoformat(), "all_time"),
    )
    if _is_sdk(request):
        _add_sdk_keys(body)
    return Answer(200, body, valid_until=end_of_date(now, UTC))


def _is_sdk(request: Request) -> bool:
    """Whether the product's SDK asks, which says so in one of two headers."""
    agent = request.headers.get("user-agent", "")
    return "x-fern-language" in request.headers or agent.startswith("aitronos/")


def _add_sdk_keys(body: Body) -> None:
    """The same under the names that the SDK reads."""
    body.total_requests = body.totalRequests
    body.total_neurons = body.totalNeurons
    body.total_cost = body.totalCost
    body.average_cost_per_request = body.averageCostPerRequest
    body.top_models = body.topModels
    body.current_month = body.currentMonth
    body.time_range = body.timeRange


def _rounded(value: Decimal, places: int) -> Decimal:
    return _decimal(round_half_up(value, places))


def _decimal(value: Decimal) -> Decimal:
    """Printed with at least one decimal, as the page prints `0.0`, `20.0` and `75000000.0`."""
    shown = plain(value)
    return Plain(round_half_up(shown, 1)) if shown == shown.to_integral_value() else shown


def credential(headers: Mapping[str, str]) -> str | None:
    """The `X-API-Key` header."""
    return headers.get("x-api-key") or None


_UNAUTHENTICATED = (401, "AUTHENTICATION_REQUIRED", "Authentication required", "client_error")
_DENIED = (403, "ORGANIZATION_ACCESS_DENIED", "Access denied to organization", "authorization_error")
_REFUSALS = {
    Refusal.NO_CREDENTIAL: (*_UNAUTHENTICATED, "No API key provided"),
    Refusal.BAD_CREDENTIAL: (*_UNAUTHENTICATED, "Invalid API key"),
    Refusal.ORGANIZATION_GONE: (*_DENIED, "API key doesn't belong to organization"),
    Refusal.FORBIDDEN: (*_DENIED, "API key doesn't belong to organization"),
    Refusal.INVALID: (400, "INVALID_REQUEST", "Invalid request", "client_error", "The request is not valid"),
    Refusal.NOT_FOUND: (404, "NOT_FOUND", "Not found", "client_error", "No such path"),
    Refusal.METHOD_NOT_ALLOWED: (405, "METHOD_NOT_ALLOWED", "Method not allowed", "client_error", "Use GET"),
    Refusal.RATE_LIMITED: (429, "RATE_LIMITED", "Too many requests", "client_error", "The hourly limit is reached"),
    Refusal.INTERNAL: (500, "INTERNAL_ERROR", "An unexpected error occurred", "server_error", "Internal error"),
}


def refuse(request: Request, refused: Refused) -> Answer:
    """One nested error object; its trace id is also in the `x-request-id` header."""
    status, code, message, kind, system_message = _REFUSALS[refused.refusal]
    detail = ErrorDetail(
        code=code,
        message=message,
        system_message=refused.message or system_message,
        type=kind,
        status=status,
        trace_id=request.request_id,
        timestamp=timestamp(request.now),
    )
    return Answer(status, Error(success=False, error=detail), {"x-request-id": request.request_id})


EXAMPLE = Body(
    organization_id="org_abc123",
    totalRequests=15000,
    total_synapses=Decimal("2500000.0"),
    totalNeurons=Decimal("1200000.0"),
    totalCost=Decimal("37500.0"),
    averageCostPerRequest=Decimal("2.5"),
    topModels=[TopModel("ftg-3.0", Decimal("7500.0"), 3000, Decimal("20.0"))],
    currentMonth=CurrentMonth(Decimal("1250.5"), 500),
    timeRange=TimeRange("2025-01-01", "2026-03-15", "all_time"),
)


def _header(name: str, description: str) -> dict[str, object]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


CONTRACT = Contract(
    name="aitronos",
    title="Aitronos usage analytics",
    source="Aitronos API reference, GET /v1/analytics/usage/summary/{org_id}",
    key_format=KeyFormat("oak_prod_", HEX, 48),
    default_scopes=frozenset({"usage:read"}),
    scopes=frozenset({"usage:read", "events:write"}),
    security={"apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"}},
    credential=credential,
    refuse=refuse,
    error=Error,
    options=AitronosOptions(),
    routes=(
        Route(
            paths=("/v1/analytics/usage/summary/{org_id}",),
            handle=usage_summary,
            scope="usage:read",
            operation_id="getUsageSummary",
            summary="All-time usage of an organization",
            response=Body,
            example=EXAMPLE,
            parameters=(
                {
                    "name": "org_id",
                    "in": "path",
                    "required": True,
                    "description": "The organization; must be the key's own.",
                    "schema": {"type": "string"},
                },
                _header("X-Fern-Language", "Sent by the product's SDK; adds the snake_case keys that it reads."),
                _header("User-Agent", "`aitronos/…` adds the same keys."),
            ),
        ),
    ),
)

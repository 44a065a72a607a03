"""The two reports: tokens of messages, and costs."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from ...domain.quantity import EXACT, plain, subtract
from ..cost_buckets import read_costs
from ..namespace_contract import Call, Reply, Services
from ..usage_buckets import (
    WIDTHS,
    Filter,
    UsageOptions,
    bad_parameter,
    every,
    groups_of,
    place_of,
    read_buckets,
    summed,
)
from .wire import buckets_of, page_of

_DAYS = {"1d": WIDTHS["1d"]}
_WORKSPACE = "workspace_id"
GROUPS = (
    "api_key_id",
    _WORKSPACE,
    "model",
    "service_tier",
    "context_window",
    "inference_geo",
    "account_id",
    "service_account_id",
    "speed",
)
_SUMS = (
    "input_tokens",
    "output_tokens",
    "cached_tokens",
    "cache_write_tokens",
    "cache_write_1h_tokens",
    "web_searches",
)
_CENTS = Decimal(100)


def usage_report(call: Call, services: Services) -> Reply:
    """One page of buckets."""
    assert isinstance(services.options, UsageOptions)
    groups, buckets = groups_of(call, GROUPS), buckets_of(call, WIDTHS)
    filters = [Filter(place_of(call, name, _WORKSPACE), texts) for name in GROUPS if (texts := every(call, f"{name}s"))]
    meters = {name: summed(services.options.event_type, name) for name in _SUMS}
    by = [place_of(call, name, _WORKSPACE) for name in groups]
    found = read_buckets(call, services, meters, buckets, by=by, filters=filters)
    return page_of(
        buckets,
        [
            [_result(dict(zip(groups, texts, strict=True)), numbers) for texts, numbers in bucket.items()]
            for bucket in found
        ],
    )


def cost_report(call: Call, services: Services) -> Reply:
    """One page of days. Amounts are in hundredths of the currency's unit, as texts."""
    groups, buckets = groups_of(call, (_WORKSPACE, "description")), buckets_of(call, _DAYS)
    by_workspace = _WORKSPACE in groups
    if by_workspace and call.organization is not None:
        raise bad_parameter("group_by", "costs are not told apart by workspace here")
    found = read_costs(call, services, buckets, by_organization=by_workspace, by_meter="description" in groups)
    results = [
        [
            {
                "amount": format(plain(EXACT.multiply(amount, _CENTS)), "f"),
                "currency": part.currency,
                "workspace_id": part.organization or None,
                "description": part.meter or None,
                "cost_type": "tokens" if part.meter else None,
                "context_window": None,
                "model": None,
                "service_tier": None,
                "token_type": None,
            }
            for part, amount in day.items()
        ]
        for day in found
    ]
    return page_of(buckets, results)


def _result(texts: Mapping[str, str], numbers: Mapping[str, Decimal]) -> dict[str, object]:
    """A result. Events have cached tokens among the input, and what was written to caches, too."""
    read, written = numbers["cached_tokens"], numbers["cache_write_tokens"]
    hour = numbers["cache_write_1h_tokens"]
    return {
        "uncached_input_tokens": plain(subtract(subtract(numbers["input_tokens"], read), written)),
        "cache_creation": {
            "ephemeral_1h_input_tokens": plain(hour),
            "ephemeral_5m_input_tokens": plain(subtract(written, hour)),
        },
        "cache_read_input_tokens": plain(read),
        "output_tokens": plain(numbers["output_tokens"]),
        "server_tool_use": {"web_search_requests": plain(numbers["web_searches"])},
        **{name: texts.get(name) or None for name in GROUPS},
    }

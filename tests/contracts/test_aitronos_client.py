"""The product's official client, the package `aitronos-sdk`, unmodified: both its clients on a real server."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Any

import httpx
import msgspec
import pytest
from aitronos import Aitronos, AsyncAitronos
from aitronos.core.api_error import ApiError

from support.server import Server, event

PATH = "/v1/analytics/usage/summary/"
PAGE_KEYS = [
    "organization_id",
    "totalRequests",
    "total_synapses",
    "totalNeurons",
    "totalCost",
    "averageCostPerRequest",
    "topModels",
    "currentMonth",
    "timeRange",
]
SDK_KEYS = {
    "total_requests": "totalRequests",
    "total_neurons": "totalNeurons",
    "total_cost": "totalCost",
    "average_cost_per_request": "averageCostPerRequest",
    "top_models": "topModels",
    "current_month": "currentMonth",
    "time_range": "timeRange",
}


@pytest.fixture(scope="module")
def organization(server: Server) -> str:
    org = server.organization("aitronos", created_at="2026-01-01T00:00:00Z")
    requests = [
        ("ftg-3.0", "7500", "2026-02-01"),
        ("ftg-4.0", "30000", "2026-02-02"),
        ("ftg-3.0", "0.1", "2026-03-02"),
    ]
    server.send(
        "aitronos",
        [
            event(
                "ai.request",
                org,
                {"model": model, "neurons": "0.0000001", "synapses": 25_000_000, "cost": cost},
                at=f"{day}T00:00:00Z",
            )
            for model, cost, day in requests
        ],
    )
    return org


@pytest.fixture(scope="module")
def key(server: Server, organization: str) -> str:
    return server.key(organization)


def check(summary: Any, organization: str) -> None:
    assert summary.organization_id == organization
    assert (summary.total_requests, summary.total_synapses, summary.total_neurons) == (3, 75_000_000.0, 3e-7)
    assert (summary.total_cost, summary.average_cost_per_request) == (37500.1, 12500.03)
    assert summary.top_models == [
        {"model": "ftg-4.0", "cost": 30000.0, "requests": 1, "percentage": 80.0},
        {"model": "ftg-3.0", "cost": 7500.1, "requests": 2, "percentage": 20.0},
    ]
    assert summary.current_month == {"cost": 0.1, "requests": 1}
    assert summary.time_range == {"start": "2026-01-01", "end": "2026-03-15", "period": "all_time"}


def test_the_synchronous_client(server: Server, organization: str, key: str) -> None:
    with httpx.Client(trust_env=False) as http:
        client = Aitronos(api_key=key, base_url=str(server.http.base_url), httpx_client=http)
        for _ in range(2):  # the second time from the answers that are kept
            check(client.analytics_usage.get_usage_summary(org_id=organization), organization)
        with pytest.raises(ApiError) as denied:
            client.analytics_usage.get_usage_summary(org_id="another")
        assert denied.value.status_code == 403


def test_the_asynchronous_client(server: Server, organization: str, key: str) -> None:
    async def ask() -> Any:
        async with httpx.AsyncClient(trust_env=False) as http:
            client = AsyncAitronos(api_key=key, base_url=str(server.http.base_url), httpx_client=http)
            return await client.analytics_usage.get_usage_summary(org_id=organization)

    check(asyncio.run(ask()), organization)


@pytest.mark.parametrize(
    ("headers", "sdk"),
    [
        ({}, False),
        ({"user-agent": "python-requests/2.32"}, False),
        ({"user-agent": "curl aitronos/5.0.0"}, False),
        ({"user-agent": "aitronos/4.5.8"}, True),
        ({"x-fern-language": "Python"}, True),
        ({"x-fern-language": "TypeScript", "user-agent": "node"}, True),
    ],
)
def test_its_keys_are_for_it_alone(
    server: Server, organization: str, key: str, headers: dict[str, str], sdk: bool
) -> None:
    answer = server.http.get(PATH + organization, headers={"x-api-key": key, **headers})
    body = answer.json()
    assert list(body) == PAGE_KEYS + (list(SDK_KEYS) if sdk else [])
    assert all(body[name] == body[page] for name, page in SDK_KEYS.items() if sdk)


def test_decimals_are_printed_as_on_the_page(server: Server, organization: str, key: str) -> None:
    text = server.http.get(PATH + organization, headers={"x-api-key": key}).text
    assert '"total_synapses":75000000.0,"totalNeurons":0.0000003,"totalCost":37500.1,' in text
    body = msgspec.json.Decoder(float_hook=Decimal).decode(text)
    assert body["averageCostPerRequest"] == Decimal("12500.03")

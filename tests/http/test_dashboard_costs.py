"""Costs and prices on pages: they are those of the API."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from meterhouse.dashboard.organization import overview_of
from meterhouse.domain.listing import CursorSeal
from meterhouse.services import usage_costs
from meterhouse.services.forecasts import Forecasts
from meterhouse.services.usage import Usage
from support.pages import Read, visitor
from support.server import ADMIN_KEY, Server, event
from support.twins import twins_at

SUBSCRIPTION = {"plan": "Business", "anchor": "2026-03-01T00:00:00Z", "interval": "P1M"}


@pytest.fixture(scope="module")
def acme(server: Server) -> str:
    made = server.organization("aitronos", SUBSCRIPTION)
    sent = [
        event(
            "ai.request",
            made,
            {"model": model, "neurons": 1_000_000 * day, "synapses": 10, "cost": 0},
            at=f"2026-03-{day:02}T09:00:00Z",
        )
        for day, model in ((3, "claude-opus"), (4, "ftg-mini"), (4, "claude-opus"))
    ]
    server.send("aitronos", sent)
    return made


@pytest.fixture
def operator(server: Server) -> Iterator[httpx.Client]:
    with visitor(server, ADMIN_KEY) as client:
        yield client


def texts(table: list[list[dict[str, str]]]) -> list[list[str]]:
    return [[cell["text"] for cell in row] for row in table]


def in_words(costs: list[dict[str, Any]]) -> str:
    return " + ".join(f"{each['display']} {each['currency']}" for each in costs) or "–"


def test_the_costs_of_a_period_are_those_of_the_usage(server: Server, operator: httpx.Client, acme: str) -> None:
    told = server.admin("GET", f"/v1/organizations/{acme}/usage?costs=true").json()
    with visitor(server, server.key(acme)) as itself:
        pages = [browser.get(f"/organizations/{acme}").text for browser in (operator, itself)]
    link = server.admin("POST", f"/v1/organizations/{acme}/portal-links", {"expires_in_seconds": 60}).json()
    pages.append(server.http.get(link["path"]).text)
    for page in pages:
        meters = texts(Read(page).tables[0])
        place = meters[0].index("Costs")
        found = {row[0].split()[0]: row[place] for row in meters[1:-1]}
        assert found["neurons"] == in_words(told["meters"]["neurons"]["costs"]) == "325.00 CHF"
        assert found["requests"] == "1.00 CHF by usage 0.00 CHF"
        assert found["cost"] == "–"
        assert meters[-1][-2] == in_words(told["costs"])


def test_the_costs_by_model_and_day_are_those_of_the_query(server: Server, operator: httpx.Client, acme: str) -> None:
    query = {"meter": "neurons", "group_by": "model", "window": "day", "range": "current_period"}
    asked = {"organization": acme, "costs": "true", **query}
    [meter] = server.admin("GET", "/v1/query", params=asked).json()["meters"]
    tables = Read(operator.get(f"/organizations/{acme}", params=query).text).tables
    groups = next(texts(table) for table in tables if table[0][0]["text"] == "model")
    place = groups[0].index("Costs")
    assert [row[place] for row in groups[1:]] == [in_words(each["costs"]) for each in meter["groups"]]
    days = [texts(table) for table in tables if table[0][0]["text"] == "Day"][1]
    assert days == [
        ["Day", "claude-opus", "ftg-mini"],
        ["2026-03-03", "135.00 CHF", "–"],
        ["2026-03-04", "180.00 CHF", "10.00 CHF"],
    ]


def test_usage_that_is_too_finely_divided_to_be_priced_is_shown_without_costs(
    server: Server, operator: httpx.Client
) -> None:
    made = server.organization("aitronos", SUBSCRIPTION)
    sent = [
        event("ai.request", made, {"model": f"m{n}", "neurons": 1, "synapses": 1, "cost": 0}, at="2026-03-10T09:00:00Z")
        for n in range(150)
    ]
    server.send("aitronos", sent)
    query = {"meter": "neurons", "window": "minute", "from": "2026-03-10", "to": "2026-03-11"}
    page = operator.get(f"/organizations/{made}", params=query)
    assert page.status_code == 200
    assert "Without costs: costs: of neurons there are more than 138 groups" in page.text
    refused = server.admin("GET", "/v1/query", params={"organization": made, "costs": "true", **query})
    assert (refused.status_code, refused.json()["detail"][:16]) == (400, "costs: of neuron")


def test_a_page_whose_costs_are_too_many_has_all_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(usage_costs, "MOST_CELLS", 3)
    now = datetime(2026, 3, 15, tzinfo=UTC)
    with twins_at(tmp_path, now) as twins:
        made = twins.organization("aitronos", now)
        for model in "abcd":
            twins.send("aitronos", made, "ai.request", now, {"model": model, "neurons": 1, "synapses": 1, "cost": 0})
        accounts = twins.accounts
        usage = Usage(twins.store, accounts.ledger, accounts.catalogs, accounts.clock, CursorSeal(b"costs"))
        told = overview_of(usage.of(accounts.organization(made)), Forecasts(), events=False)
    assert told["unpriceable"].startswith("costs: of neurons there are more than 3 groups")
    assert told["costs"] is None
    assert [line["summary"].used for line in told["meters"]] == [4, 4, 4, 0]


def test_the_prices_of_the_catalogs_are_listed(operator: httpx.Client) -> None:
    tables = [texts(table) for table in Read(operator.get("/meters").text).tables]
    [prices] = [table for table in tables if table[0][:3] == ["Meter", "Group", "Price"]]
    assert ["neurons", "all else", "0.0000025 CHF each", "–", "–", "–"] in prices
    assert ["synapses", "claude-opus", "0.00018 CHF each", "–", "–", "–"] in prices
    tiers = "each unit 0.002 CHF up to 500, 0.001 CHF beyond"
    assert ["requests", "–", tiers, "100", "1.00 CHF", "–"] in prices

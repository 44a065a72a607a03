"""Costs, as clients see them: through the real engine, over corrections and late events."""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from random import Random
from typing import Any

import pytest

from support.depth import by_depth
from support.server import Server, event, serve
from support.slow_burn_down import boundaries
from support.slow_costs import SlowCard, SlowCosts

NOW = "2026-03-15T12:00:00Z"
MONTHLY = {"plan": None, "anchor": "2026-01-01", "interval": "P1M"}
CATALOG = """
namespace = "acme"

[[meters]]
slug = "tokens"
event_type = "call"
aggregation = "SUM"
value = "tokens"
group_by = ["model", "region"]

[[meters]]
slug = "calls"
event_type = "call"
aggregation = "COUNT"
group_by = "model"

[[meters]]
slug = "seconds"
event_type = "call"
aggregation = "SUM"
value = "seconds"
optional = true

[[meters]]
slug = "people"
event_type = "call"
aggregation = "UNIQUE_COUNT"
value = "person"
optional = true

[[prices]]
meter = "tokens"
currency = "USD"
minimum = "2"
type = "graduated"
included = 10
tiers = [{ up_to = 100, price = "0.01" }, { price = "0.005" }]

[[prices.groups]]
group = { model = "large" }
price = "0.1"

[[prices]]
meter = "tokens"
currency = "EUR"
effective_at = 2026-03-12T00:00:00Z
type = "volume"
tiers = [{ up_to = 50, price = "1" }, { price = "0.5" }]

[[prices]]
meter = "calls"
currency = "JPY"
type = "package"
package = 3
price = "0.5"

[[prices]]
meter = "seconds"
currency = "USD"
effective_at = 2026-03-10T00:00:00Z
price = "0.003"
"""
CARDS: list[tuple[date, dict[str, Any]]] = [
    (
        date(2000, 1, 1),
        {
            "currency": "USD",
            "type": "graduated",
            "included": 10,
            "tiers": [{"up_to": 100, "price": "0.01"}, {"price": "0.005"}],
            "groups": [{"group": {"model": "large"}, "price": "0.1"}],
        },
    ),
    (date(2026, 3, 12), {"currency": "EUR", "type": "volume", "tiers": [{"up_to": 50, "price": 1}, {"price": "0.5"}]}),
]
"""Those of tokens."""


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("costs")
    (folder / "acme.toml").write_text(CATALOG)
    with serve(folder / "data", now=NOW, arguments=("--catalog", str(folder / "acme.toml"))) as running:
        yield running


def call(organization: str, tokens: object, at: str, model: str = "small", **data: Any) -> dict[str, Any]:
    return event("call", organization, {"tokens": tokens, "model": model, **data}, at=at)


def asked(server: Server, **query: Any) -> list[dict[str, Any]]:
    answer = server.admin("GET", "/v1/query", params={"costs": "true", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["meters"]  # type: ignore[no-any-return]


def usage(server: Server, organization: str, **query: Any) -> dict[str, Any]:
    answer = server.admin("GET", f"/v1/organizations/{organization}/usage", params={"costs": "true", **query})
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def amounts(costs: list[dict[str, str]]) -> dict[str, str]:
    return {each["currency"]: each["amount"] for each in costs}


@pytest.fixture(scope="module")
def organization(priced: Server) -> str:
    made = priced.organization("acme", MONTHLY)
    priced.send(
        "acme",
        [
            call(made, 60, "2026-03-02T09:00:00Z", seconds="1.5"),
            call(made, 5, "2026-03-03T09:00:00Z", "large", seconds=7),
            call(made, 70, "2026-03-10T09:00:00Z", seconds="0.5"),
            call(made, 20, "2026-03-13T09:00:00Z"),
            call(made, 1, "2026-02-28T09:00:00Z", "large"),
        ],
    )
    return made


class TestUsage:
    def test_tells_what_the_period_costs(self, priced: Server, organization: str) -> None:
        told = usage(priced, organization)
        tokens, calls, seconds = (told["meters"][each] for each in ("tokens", "calls", "seconds"))
        # 10 of 130 are included, 100 cost 0.01 and 20 cost 0.005; 5 of the large model cost 0.1. The volume price finds
        # 135 tokens in the period and then 155: all but the difference was before it.
        assert amounts(tokens["costs"]) == {"EUR": "10", "USD": "1.6"}
        assert tokens["unpriced"] == 0
        assert calls["costs"] == [{"currency": "JPY", "amount": "1", "display": "1", "from_usage": "1"}]
        assert seconds["costs"] == [{"currency": "USD", "amount": "0.0015", "display": "0.00", "from_usage": "0.0015"}]
        assert seconds["unpriced"] == 8.5
        assert "costs" not in told["meters"]["people"]
        assert amounts(told["costs"]) == {"EUR": "10", "JPY": "1", "USD": "1.6015"}
        assert [each["display"] for each in told["costs"]] == ["10.00", "1", "1.60"]

    def test_the_minimum_is_that_of_the_card_at_the_end_of_the_period(self, priced: Server, organization: str) -> None:
        february = usage(priced, organization, period="previous")["meters"]["tokens"]["costs"]
        assert february == [{"currency": "USD", "amount": "2", "display": "2.00", "from_usage": "0.1"}]
        nobody = priced.organization("acme", MONTHLY)
        assert usage(priced, nobody, period="previous")["costs"] == [
            {"currency": "USD", "amount": "2", "display": "2.00"}
        ]
        assert usage(priced, nobody)["costs"] == []

    def test_says_nothing_of_costs_that_nobody_asked_for(self, priced: Server, organization: str) -> None:
        told = priced.usage(organization)
        assert "costs" not in told
        assert "costs" not in told["meters"]["tokens"]

    def test_a_customer_asks_for_its_own(self, priced: Server, organization: str) -> None:
        headers = {"authorization": f"Bearer {priced.key(organization)}"}
        answer = priced.http.get(f"/v1/organizations/{organization}/usage?costs=true", headers=headers)
        assert amounts(answer.json()["costs"])["USD"] == "1.6015"

    def test_an_amount_of_more_than_38_digits_is_exact(self, priced: Server) -> None:
        made = priced.organization("acme", MONTHLY)
        most = "9" * 38
        priced.send("acme", [call(made, most, "2026-03-02T09:00:00Z", "large") for _ in range(2)])
        [cost] = usage(priced, made)["meters"]["tokens"]["costs"]
        assert (cost["amount"], cost["display"]) == ("1" + "9" * 37 + ".8", "1" + "9" * 37 + ".80")


class TestQuery:
    def test_by_day_and_by_model(self, priced: Server, organization: str) -> None:
        query = {"organization": organization, "meter": "tokens", "from": "2026-03-01", "to": "2026-03-15"}
        [told] = asked(priced, **query, window="day", group_by="model")
        days = {each["label"]: amounts(each["costs"]) for each in told["windows"] if each["costs"]}
        assert days == {
            "2026-03-02": {"USD": "0.5"},
            "2026-03-03": {"USD": "0.5"},
            "2026-03-10": {"USD": "0.6"},
            "2026-03-13": {"EUR": "10"},
        }
        assert amounts(told["costs"]) == {"EUR": "10", "USD": "1.6"}
        assert {each["group"]["model"]: amounts(each["costs"]) for each in told["groups"]} == {
            "small": {"EUR": "10", "USD": "1.1"},
            "large": {"USD": "0.5"},
        }
        [large] = [each for each in told["groups"] if each["group"]["model"] == "large"]
        assert [each["costs"] for each in large["windows"] if each["costs"]] == [
            [{"currency": "USD", "amount": "0.5", "display": "0.50"}]
        ]

    def test_a_span_inside_a_period_finds_the_tiers_where_it_begins(self, priced: Server, organization: str) -> None:
        query = {"organization": organization, "meter": "tokens", "from": "2026-03-10T00:00:00Z"}
        [told] = asked(priced, **query, to="2026-03-11T00:00:00Z")
        assert amounts(told["costs"]) == {"USD": "0.6"}

    def test_a_filter_has_its_part(self, priced: Server, organization: str) -> None:
        query = {"organization": organization, "meter": "tokens", "filter.model": "large"}
        [told] = asked(priced, **query)
        assert (told["total"], amounts(told["costs"])) == (5, {"USD": "0.5"})

    def test_the_rest_is_one_other(self, priced: Server, organization: str) -> None:
        [told] = asked(priced, organization=organization, meter="tokens", group_by="model", top=1)
        assert amounts(told["groups"][0]["costs"]) == {"EUR": "10", "USD": "1.1"}
        assert amounts(told["other"]["costs"]) == {"USD": "0.5"}

    def test_each_organization_has_its_own_tiers(self, priced: Server, organization: str) -> None:
        other = priced.organization("acme", MONTHLY)
        priced.send("acme", [call(other, 110, "2026-03-02T09:00:00Z")])
        query = {"organization": [organization, other], "meter": "tokens", "from": "2026-03-02", "to": "2026-03-03"}
        [told] = asked(priced, **query, group_by="organization")
        assert amounts(told["costs"]) == {"USD": "1.5"}
        assert {each["group"]["organization"]: amounts(each["costs"]) for each in told["groups"]} == {
            organization: {"USD": "0.5"},
            other: {"USD": "1"},
        }

    def test_usage_without_a_price_is_told(self, priced: Server, organization: str) -> None:
        seconds, people = asked(priced, organization=organization, meter=["seconds", "people"])
        assert (seconds["unpriced"], amounts(seconds["costs"])) == (8.5, {"USD": "0.0015"})
        assert not {"costs", "unpriced"} & people.keys()

    def test_as_a_file(self, priced: Server, organization: str) -> None:
        query = f"organization={organization}&meter=tokens&meter=people&group_by=organization&costs=true"
        refused = priced.admin("GET", f"/v1/query?{query}", headers={"accept": "text/csv"})
        assert refused.status_code == 200, refused.text
        rows = [*csv.DictReader(io.StringIO(refused.text))]
        costs = [(row["meter"], row["part"], row["cost_EUR"], row["cost_USD"]) for row in rows]
        assert costs[0] == ("tokens", "total", "10", "1.6")
        assert ("people", "total", "", "") in costs

    @pytest.mark.parametrize("text", ["yes", "1", "TRUE"])
    def test_costs_are_asked_for_with_a_yes_or_no(self, priced: Server, organization: str, text: str) -> None:
        refused = priced.admin("GET", f"/v1/query?organization={organization}&meter=tokens&costs={text}")
        assert refused.status_code == 400
        assert refused.json()["detail"] == f"costs: {text!r} is not understood; it is true or false"

    def test_many_organizations_at_once_are_refused(self, priced: Server) -> None:
        ids = [f"many-{number}" for number in range(101)]
        priced.send("acme", [call(each, 1, "2026-01-05T09:00:00Z") for each in ids])
        query = "namespace=acme&meter=tokens&from=2026-01-01&to=2026-02-01&costs=true"
        refused = priced.admin("GET", f"/v1/query?{query}")
        assert refused.status_code == 400
        assert "more than 100 organizations of acme have used tokens" in refused.json()["detail"]


class TestRandomHistories:
    """The server's answers, and those of an oracle that goes half a unit after the other."""

    @pytest.mark.parametrize("seed", range(by_depth(6, 30, 300)))
    def test_late_events_and_corrections_cost_what_they_would_have_cost(self, priced: Server, seed: int) -> None:
        random = Random(seed)
        anchor, interval = random.choice([("2026-01-31", "P1M"), ("2026-02-03", "P7D"), ("2026-03-01", "P30D")])
        made = priced.organization("acme", {"plan": None, "anchor": anchor, "interval": interval})
        events = [self.happened(random, made) for _ in range(30)]
        random.shuffle(events)
        for begin in range(0, len(events), 7):
            priced.send("acme", events[begin : begin + 7])
        gone = random.sample(events, 6)
        self.void(priced, made, gone[:4])
        self.compare(priced, made, anchor, interval, [each for each in events if each not in gone[:4]])
        self.void(priced, made, gone[4:])
        priced.send("acme", late := [self.happened(random, made) for _ in range(3)])
        self.compare(priced, made, anchor, interval, [each for each in events if each not in gone] + late)

    def happened(self, random: Random, made: str) -> dict[str, Any]:
        day = date(2026, 1, 20) + timedelta(days=random.randint(0, 54))
        at = f"{day}T{random.randint(0, 11):02}:30:00Z"
        halves = random.randint(-10, 120)
        data = {"model": random.choice(["small", "large", "tiny"]), "region": random.choice(["eu", "us"])}
        return event("call", made, {"tokens": str(Decimal(halves) / 2), **data}, at=at)

    def void(self, server: Server, made: str, gone: list[dict[str, Any]]) -> None:
        named = [{"source": each["source"], "id": each["id"], "organization": made} for each in gone]
        body = {"void": named, "actor": "test", "reason": "wrong"}
        done = server.admin("POST", "/v1/corrections", body, params={"namespace": "acme"})
        assert done.status_code in (200, 201), done.text

    def compare(self, server: Server, made: str, anchor: str, interval: str, events: list[dict[str, Any]]) -> None:
        first, last = date(2026, 2, 8), date(2026, 3, 15)
        from meterhouse.domain.period import Interval

        begins = boundaries(date.fromisoformat(anchor), Interval.parse(interval))
        oracle = SlowCosts([SlowCard(since, written) for since, written in CARDS], begins)
        counted = [
            (
                datetime.fromisoformat(each["time"]).astimezone(UTC).date(),
                {name: each["data"][name] for name in ("model", "region")},
                int(Decimal(each["data"]["tokens"]) * 2),
            )
            for each in events
        ]
        oracle.run(counted, ("model", "region"), date(2026, 1, 1), last)
        query = {"organization": made, "meter": "tokens", "from": str(first), "to": str(last), "window": "day"}
        [told] = asked(server, **query, group_by=["model", "region"])
        found: dict[tuple[str, tuple[str, str]], tuple[str, Fraction]] = {}
        for group in told["groups"]:
            for window in group["windows"]:
                for cost in window["costs"]:
                    texts = (group["group"]["model"], group["group"]["region"])
                    found[window["label"], texts] = (cost["currency"], Fraction(cost["amount"]))
        inside = {key: cost for key, cost in oracle.cells.items() if first <= key[0] < last}
        assert {key: cost for key, cost in found.items() if cost[1]} == {
            (str(day), texts): cost for (day, texts), cost in inside.items() if cost[1]
        }
        totals: defaultdict[str, Fraction] = defaultdict(Fraction)
        for currency, amount in inside.values():
            totals[currency] += amount
        assert {each["currency"]: Fraction(each["amount"]) for each in told["costs"]} == totals


def test_an_organization_of_another_namespace_lends_nobody_its_subscription(priced: Server) -> None:
    """Events may have any subject: here the id of an organization of another product, with other usage periods."""
    other = priced.organization("acme", MONTHLY)
    second = CATALOG.replace('namespace = "acme"', 'namespace = "second"')
    made = priced.admin(
        "PUT",
        "/v1/namespaces/second/catalog",
        content=second.encode(),
        headers={"content-type": "application/toml"},
    )
    assert made.status_code == 200, made.text
    stranger = priced.organization("second", {"plan": None, "anchor": "2026-03-08", "interval": "P1M"})
    for organization in (stranger, other):
        for at in ("2026-03-02T00:00:00Z", "2026-03-09T00:00:00Z"):
            priced.send("acme", [event("call", organization, {"tokens": 60, "model": "small"}, at=at)])

    def cost(organization: str) -> str:
        asked = {
            "namespace": "acme",
            "meter": "tokens",
            "from": "2026-03-01",
            "to": "2026-03-11",
            "group_by": "organization",
            "costs": "true",
        }
        answer = priced.admin("GET", "/v1/query", params=asked).json()
        [told] = answer["meters"]
        [found] = [each for each in told["groups"] if each["group"]["organization"] == organization]
        return str(found["costs"])

    assert cost(stranger) == cost(other)

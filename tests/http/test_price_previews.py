"""The preview of other prices, over usage that there was."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from support.server import Server, event, serve

NOW = "2026-03-15T12:00:00Z"
CATALOG = """
namespace = "acme"

[[meters]]
slug = "tokens"
event_type = "call"
aggregation = "SUM"
value = "tokens"
group_by = "model"

[[meters]]
slug = "calls"
event_type = "call"
aggregation = "COUNT"

[[prices]]
meter = "tokens"
currency = "USD"
price = "0.01"
included = 5
minimum = 1

[[prices]]
meter = "tokens"
currency = "USD"
effective_at = 2026-02-15T00:00:00Z
type = "graduated"
tiers = [{ up_to = 100, price = "0.02" }, { price = "0.01" }]
groups = [{ group = { model = "large" }, type = "package", package = 10, price = 1 }]
"""
PER_UNIT: dict[str, Any] = {"meter": "tokens", "currency": "USD", "price": "0.015", "included": 5, "minimum": 1}
DEAREST = [PER_UNIT]


@pytest.fixture(scope="module", params=["one", "two"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one shard, and one of two: they must say the same."""
    folder = tmp_path_factory.mktemp("previews")
    (folder / "acme.toml").write_text(CATALOG)
    shards = ("--shards", "2") if request.param == "two" else ()
    arguments = ("--catalog", str(folder / "acme.toml"), *shards)
    with serve(folder / "data", now=NOW, arguments=arguments) as server:
        for name, anchor in (("a", "2026-01-01"), ("b", "2026-01-20"), ("c", None)):
            server.admin("POST", "/v1/organizations", {"id": name, "name": name.upper(), "namespace": "acme"})
            if anchor:
                server.subscribe(name, {"plan": None, "anchor": anchor, "interval": "P1M"})
        sent = [
            event("call", name, {"tokens": 100, "model": model}, at=f"2026-{at}T09:00:00Z")
            for name in ("a", "b", "c")
            for model, at in (("small", "01-25"), ("small", "02-03"), ("large", "02-25"), ("small", "03-02"))
        ]
        server.send("acme", sent)
        yield server


def ask(server: Server, prices: object, query: str = "", **body: Any) -> httpx.Response:
    return server.admin("POST", f"/v1/namespaces/acme/prices/preview{query}", {"prices": prices, **body})


def preview(server: Server, prices: object, query: str = "", **body: Any) -> dict[str, Any]:
    answer = ask(server, prices, query, **body)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def amounts(change: dict[str, Any]) -> tuple[dict[str, str], ...]:
    return tuple(
        {each["currency"]: each["amount"] for each in change[name]} for name in ("now", "proposed", "difference")
    )


class TestPreview:
    def test_prices_the_last_calendar_month_anew(self, running: Server) -> None:
        told = preview(running, DEAREST)
        assert told["span"] == {"start": "2026-02-01T00:00:00Z", "end": "2026-03-01T00:00:00Z"}
        found = {each["organization"]: amounts(each) for each in told["organizations"]}
        # a: 95 at 0.01 and 10 packages now; 195 at 0.015 then. b has used 100 of its first period before the span, so
        # that nothing is included in it any more; its second begins with the packages. c has one period, all time.
        assert found == {
            "a": ({"USD": "10.95"}, {"USD": "2.925"}, {"USD": "-8.025"}),
            "b": ({"USD": "11"}, {"USD": "2.925"}, {"USD": "-8.075"}),
            "c": ({"USD": "11"}, {"USD": "3"}, {"USD": "-8"}),
        }
        assert amounts(told["total"]) == ({"USD": "32.95"}, {"USD": "8.85"}, {"USD": "-24.1"})
        assert amounts(told["meters"]["tokens"]) == amounts(told["total"])
        assert (told["organization_count"], told["next_offset"]) == (3, None)

    def test_is_what_the_query_answers_for_the_cards_of_the_catalog(self, running: Server) -> None:
        told = preview(running, DEAREST, **{"from": "2026-02-10", "to": "2026-03-10"})
        query = "namespace=acme&meter=tokens&group_by=organization&from=2026-02-10&to=2026-03-10&costs=true"
        [meter] = running.admin("GET", f"/v1/query?{query}").json()["meters"]
        of_groups = {each["group"]["organization"]: each["costs"] for each in meter["groups"]}
        assert {each["organization"]: each["now"] for each in told["organizations"]} == of_groups
        assert told["total"]["now"] == meter["costs"]

    def test_of_another_currency_is_not_added_up(self, running: Server) -> None:
        told = preview(running, [{"meter": "tokens", "currency": "JPY", "price": 1}])
        assert amounts(told["organizations"][0]) == ({"USD": "10.95"}, {"JPY": "200"}, {"JPY": "200", "USD": "-10.95"})

    def test_tells_usage_that_has_no_price(self, running: Server) -> None:
        groups = [{"group": {"model": "large"}, "price": "0.5"}]
        told = preview(running, [{"meter": "tokens", "currency": "USD", "groups": groups}])
        assert told["organizations"][0]["unpriced"] == 100
        assert told["total"]["unpriced"] == 300

    def test_of_a_meter_without_prices_until_now(self, running: Server) -> None:
        told = preview(running, [{"meter": "calls", "currency": "EUR", "price": "0.25"}])
        assert amounts(told["total"]) == ({}, {"EUR": "1.5"}, {"EUR": "1.5"})

    def test_a_minimum_is_of_whole_periods_only(self, running: Server) -> None:
        told = preview(running, [{**PER_UNIT, "minimum": 100}])
        assert [amounts(each)[1]["USD"] for each in told["organizations"]] == ["100", "2.925", "3"]

    def test_page_by_page(self, running: Server) -> None:
        first = preview(running, DEAREST, "?limit=2")
        assert ([each["organization"] for each in first["organizations"]], first["next_offset"]) == (["a", "b"], 2)
        second = preview(running, DEAREST, "?limit=2&offset=2")
        assert ([each["organization"] for each in second["organizations"]], second["next_offset"]) == (["c"], None)
        whole = preview(running, DEAREST)
        assert [*first["organizations"], *second["organizations"]] == whole["organizations"]
        assert preview(running, DEAREST, "?offset=9")["organizations"] == []

    @pytest.mark.parametrize(
        ("prices", "more", "query", "said"),
        [
            ([], {}, "", "prices: propose at least one rate card"),
            (
                [PER_UNIT, {**PER_UNIT, "effective_at": "2026-01-01T00:00:00Z"}],
                {},
                "",
                "'tokens' has 2 rate cards",
            ),
            ([PER_UNIT, PER_UNIT], {}, "", "two rate cards in force from the same instant"),
            ([{**PER_UNIT, "currency": "ABC"}], {}, "", "'ABC' is not a currency in use"),
            ([{**PER_UNIT, "price": -1}], {}, "", "price: must not be negative"),
            ([{**PER_UNIT, "price": "1e-29"}], {}, "", "has more than 28 decimal places"),
            ([{**PER_UNIT, "meter": "gone"}], {}, "", "there is no meter 'gone' any more"),
            (DEAREST, {"from": "2026-02-01"}, "", "from: must be given together with to"),
            (DEAREST, {"from": "2026-02-01", "to": "2026-02-01"}, "", "to: must be later than from"),
            (DEAREST, {"from": "2026-02-31", "to": "2026-03-01"}, "", "from: '2026-02-31' is no date"),
            (DEAREST, {}, "?limit=0", "limit: 0 is not a number from 1 to 100"),
            (DEAREST, {}, "?limit=101", "limit: 101 is not a number"),
            (DEAREST, {}, "?offset=-1", "offset: -1 is not a number"),
            (DEAREST, {"dicount": 1}, "", "dicount"),
        ],
    )
    def test_what_means_nothing_is_refused(
        self, running: Server, prices: object, more: dict[str, Any], query: str, said: str
    ) -> None:
        refused = ask(running, prices, query, **more)
        assert refused.status_code == 400, refused.text
        assert said in refused.json()["detail"]

    def test_is_the_operators(self, running: Server) -> None:
        headers = {"authorization": f"Bearer {running.key('a')}"}
        refused = running.http.post("/v1/namespaces/acme/prices/preview", json={"prices": DEAREST}, headers=headers)
        assert refused.status_code in (401, 403)

    def test_of_an_unknown_namespace(self, running: Server) -> None:
        answer = running.admin("POST", "/v1/namespaces/nobody/prices/preview", {"prices": DEAREST})
        assert answer.status_code == 404


def test_a_namespace_tells_its_cards(running: Server) -> None:
    [catalog] = running.admin("GET", "/v1/namespaces").json()
    assert catalog["prices"] == [
        {"meter": "tokens", "currency": "USD", "type": "per_unit", "price": 0.01, "included": 5, "minimum": 1},
        {
            "meter": "tokens",
            "currency": "USD",
            "effective_at": "2026-02-15T00:00:00Z",
            "type": "graduated",
            "tiers": [{"price": 0.02, "up_to": 100}, {"price": 0.01}],
            "groups": [{"group": {"model": "large"}, "type": "package", "package": 10, "price": 1}],
        },
    ]


def test_a_card_of_the_catalog_can_be_proposed_as_it_is_told_whenever_it_is_in_force(running: Server) -> None:
    [catalog] = running.admin("GET", "/v1/namespaces").json()
    card = catalog["prices"][1]
    told = preview(running, [card])
    assert [amounts(each)[1] for each in told["organizations"]] == [{"USD": "12"}, {"USD": "11"}, {"USD": "11"}]
    later = preview(running, [{**card, "effective_at": "2026-12-01T00:00:00Z"}])
    assert later["organizations"] == told["organizations"]

"""Stripe's billing meters, by the official client and as plain requests."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import stripe

from support.openmeter_clients import EMPTY, namespace_key
from support.server import ADMIN_KEY, Server, serve

_numbers = count(1)
NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)
DAY = timedelta(days=1)
EVENTS = "/stripe/v1/billing/meter_events"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("stripe"), now=NOW) as running:
        yield running


@pytest.fixture
def key(server: Server) -> str:
    return namespace_key(server, f"stripe{next(_numbers)}")


@pytest.fixture
def client(server: Server, key: str) -> stripe.StripeClient:
    return client_of(server, key)


def client_of(server: Server, key: str) -> stripe.StripeClient:
    address = f"http://127.0.0.1:{server.port}/stripe"
    return stripe.StripeClient(key, base_addresses={"api": address}, max_network_retries=0)


def seconds(at: datetime) -> int:
    return int(at.timestamp())


def meter(client: stripe.StripeClient, **more: Any) -> Any:
    return client.v1.billing.meters.create(
        {
            "display_name": "Tokens",
            "event_name": "ai_tokens",
            "default_aggregation": {"formula": "sum"},
            "customer_mapping": {"type": "by_id", "event_payload_key": "stripe_customer_id"},
            "value_settings": {"event_payload_key": "value"},
            **more,
        }
    )


def send(client: stripe.StripeClient, value: str, at: datetime = NOW, **more: Any) -> Any:
    payload = {"stripe_customer_id": "cus_1", "value": value, **more.pop("payload", {})}
    return client.v1.billing.meter_events.create(
        {"event_name": "ai_tokens", "payload": payload, "timestamp": seconds(at), **more}
    )


def total(client: stripe.StripeClient, meter_id: str, customer: str = "cus_1", **more: Any) -> Any:
    asked = {"customer": customer, "start_time": seconds(NOW - 60 * DAY), "end_time": seconds(NOW + DAY), **more}
    return client.v1.billing.meters.event_summaries.list(meter_id, asked)


class TestMeters:
    def test_the_shape(self, client: stripe.StripeClient) -> None:
        made = meter(client)
        assert made.id.startswith("mtr_")
        assert json.loads(str(made)) == {
            "id": made.id,
            "object": "billing.meter",
            "created": seconds(NOW),
            "customer_mapping": {"event_payload_key": "stripe_customer_id", "type": "by_id"},
            "default_aggregation": {"formula": "sum"},
            "display_name": "Tokens",
            "event_name": "ai_tokens",
            "event_time_window": None,
            "livemode": False,
            "status": "active",
            "status_transitions": {"deactivated_at": None},
            "updated": seconds(NOW),
            "value_settings": {"event_payload_key": "value"},
        }
        assert client.v1.billing.meters.retrieve(made.id) == made
        renamed = client.v1.billing.meters.update(made.id, {"display_name": "All tokens"})
        assert renamed.display_name == "All tokens"

    def test_an_inactive_meter_takes_no_events(self, client: stripe.StripeClient) -> None:
        made = meter(client)
        send(client, "5")
        off = client.v1.billing.meters.deactivate(made.id)
        assert (off.status, off.status_transitions.deactivated_at) == ("inactive", seconds(NOW))
        with pytest.raises(stripe.InvalidRequestError, match="No active meter"):
            send(client, "6")
        assert total(client, made.id).data[0].aggregated_value == 5
        assert client.v1.billing.meters.reactivate(made.id).status == "active"
        send(client, "7")
        assert total(client, made.id).data[0].aggregated_value == 12

    def test_lists_page_by_page(self, client: stripe.StripeClient) -> None:
        for n in range(12):
            meter(client, event_name=f"event {n}")
        listed = client.v1.billing.meters.list({"limit": 5})
        assert (listed.url, listed.has_more, len(listed.data)) == ("/v1/billing/meters", True, 5)
        assert len({each.id for each in listed.auto_paging_iter()}) == 12
        assert client.v1.billing.meters.list({"status": "inactive"}).data == []

    def test_two_active_ones_of_a_name_are_refused(self, client: stripe.StripeClient) -> None:
        meter(client)
        with pytest.raises(stripe.InvalidRequestError, match="already"):
            meter(client)

    @pytest.mark.parametrize(
        "change",
        [
            {"event_name": ""},
            {"event_name": "x" * 101},
            {"default_aggregation": {"formula": "average"}},
            {"customer_mapping": {"type": "by_name", "event_payload_key": "x"}},
            {"event_time_window": "week"},
            {"colour": "red"},
            {"value_settings": {"event_payload_key": {"a": {"b": {"c": {"d": {"e": "f"}}}}}}},
        ],
    )
    def test_what_is_no_meter(self, client: stripe.StripeClient, change: dict[str, Any]) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            meter(client, **change)
        assert refused.value.http_status == 400
        assert refused.value.param


class TestEvents:
    def test_the_shape(self, client: stripe.StripeClient) -> None:
        meter(client)
        made = send(client, "25", NOW - DAY, identifier="one")
        assert json.loads(str(made)) == {
            "object": "billing.meter_event",
            "created": seconds(NOW),
            "event_name": "ai_tokens",
            "identifier": "one",
            "livemode": False,
            "payload": {"stripe_customer_id": "cus_1", "value": "25"},
            "timestamp": seconds(NOW - DAY),
        }

    def test_the_same_again_counts_once_and_something_else_is_refused(self, client: stripe.StripeClient) -> None:
        made = meter(client)
        for _ in range(3):
            send(client, "25", identifier="one")
        with pytest.raises(stripe.InvalidRequestError, match="already exists with identifier one"):
            send(client, "26", identifier="one")
        assert total(client, made.id).data[0].aggregated_value == 25

    def test_a_retry_without_identifier_counts_once(
        self, server: Server, client: stripe.StripeClient, key: str
    ) -> None:
        made = meter(client)
        form = {"event_name": "ai_tokens", "payload[stripe_customer_id]": "cus_1", "payload[value]": "3"}
        headers = {"authorization": f"Bearer {key}", "idempotency-key": "try-1"}
        for _ in range(2):
            sent = server.http.post(EVENTS, data=form, headers=headers)
            assert sent.json()["identifier"] == "try-1"
        assert sent.headers["meterhouse-ingest"].startswith("ingested=0; duplicates=1")
        assert total(client, made.id).data[0].aggregated_value == 3

    def test_however_old_it_is(self, client: stripe.StripeClient) -> None:
        made = meter(client)
        send(client, "4", NOW - 1000 * DAY)
        asked = {"start_time": seconds(NOW - 2000 * DAY)}
        assert total(client, made.id, **asked).data[0].aggregated_value == 4

    @pytest.mark.parametrize(
        ("change", "param"),
        [
            ({"event_name": "other"}, "event_name"),
            ({"payload": {"stripe_customer_id": ""}}, "payload[stripe_customer_id]"),
            ({"payload": {"value": "NaN"}}, "payload[value]"),
            ({"payload": {"value": "many"}}, "payload[value]"),
            ({"payload": {"deep": {"a": {"b": {"c": {"d": "e"}}}}}}, "payload[deep][a][b][c][d]"),
            ({"identifier": "x" * 101}, "identifier"),
            ({"timestamp": -5}, "timestamp"),
            ({"colour": "red"}, "colour"),
        ],
    )
    def test_what_is_no_event(self, client: stripe.StripeClient, change: dict[str, Any], param: str) -> None:
        made = meter(client)
        with pytest.raises(stripe.InvalidRequestError) as refused:
            send(client, "1", **change)
        assert refused.value.param == param
        assert total(client, made.id).data[0].aggregated_value == 0

    def test_other_ways_to_say_the_key(self, server: Server, client: stripe.StripeClient, key: str) -> None:
        meter(client)
        assert server.http.get("/stripe/v1/billing/meters", auth=(key, "")).status_code == 200
        refused = server.http.get("/stripe/v1/billing/meters", headers={"authorization": "Basic !"})
        assert refused.status_code == 401
        with pytest.raises(stripe.AuthenticationError):
            client_of(server, "sk_wrong").v1.billing.meters.list()
        with pytest.raises(stripe.PermissionError):
            client_of(server, ADMIN_KEY).v1.billing.meters.list()


class TestAdjustments:
    def test_a_cancelled_event_does_not_count(self, client: stripe.StripeClient) -> None:
        made = meter(client)
        send(client, "25", NOW - 40 * DAY, identifier="one")
        send(client, "5", identifier="two")
        cancel = {"event_name": "ai_tokens", "type": "cancel", "cancel": {"identifier": "one"}}
        for _ in range(2):
            adjusted = client.v1.billing.meter_event_adjustments.create(cancel)  # type: ignore[arg-type]
            assert (adjusted.status, adjusted.object) == ("complete", "billing.meter_event_adjustment")
        assert total(client, made.id).data[0].aggregated_value == 5

    def test_one_that_is_not_there(self, client: stripe.StripeClient) -> None:
        meter(client)
        send(client, "5", identifier="two")
        for event_name, identifier in (("ai_tokens", "one"), ("other", "two")):
            cancel = {"event_name": event_name, "type": "cancel", "cancel": {"identifier": identifier}}
            with pytest.raises(stripe.InvalidRequestError) as refused:
                client.v1.billing.meter_event_adjustments.create(cancel)  # type: ignore[arg-type]
            assert refused.value.code == "resource_missing"


class TestSummaries:
    def test_windows(self, client: stripe.StripeClient) -> None:
        made = meter(client)
        midnight = NOW.replace(hour=0)
        send(client, "1.5", midnight)
        send(client, "2", midnight + timedelta(minutes=30))
        send(client, "4", midnight + timedelta(hours=2))
        send(client, "8", midnight + DAY - timedelta(seconds=1))
        asked = {"start_time": seconds(midnight), "end_time": seconds(midnight + DAY)}
        hours = total(client, made.id, **asked, value_grouping_window="hour")
        assert [(each.start_time, each.aggregated_value) for each in hours.data] == [
            (seconds(midnight + timedelta(hours=23)), 8),
            (seconds(midnight + timedelta(hours=2)), 4),
            (seconds(midnight), 3.5),
        ]
        [day] = total(client, made.id, **asked, value_grouping_window="day").data
        assert (day.object, day.aggregated_value, day.meter) == ("billing.meter_event_summary", 15.5, made.id)
        assert total(client, made.id, customer="cus_2").data[0].aggregated_value == 0
        pages = client.v1.billing.meters.event_summaries.list(
            made.id, {"customer": "cus_1", **asked, "value_grouping_window": "hour", "limit": 1}
        )
        assert len([*pages.auto_paging_iter()]) == 3

    @pytest.mark.parametrize(("formula", "expected"), [("sum", 9), ("count", 2), ("last", 7)])
    def test_formulas(self, client: stripe.StripeClient, formula: str, expected: int) -> None:
        made = meter(client, default_aggregation={"formula": formula})
        send(client, "2", NOW - DAY)
        send(client, "7")
        assert total(client, made.id).data[0].aggregated_value == expected

    def test_digits_are_kept(self, server: Server, client: stripe.StripeClient, key: str) -> None:
        made = meter(client)
        send(client, "12345678901234567890.5")
        answer = server.http.get(
            f"/stripe/v1/billing/meters/{made.id}/event_summaries",
            params={"customer": "cus_1", "start_time": seconds(NOW - DAY), "end_time": seconds(NOW + DAY)},
            headers={"authorization": f"Bearer {key}"},
        )
        [summary] = json.loads(answer.text, parse_float=Decimal)["data"]
        assert summary["aggregated_value"] == Decimal("12345678901234567890.5")

    @pytest.mark.parametrize(
        "change",
        [
            {"customer": ""},
            {"start_time": seconds(NOW) + 1},
            {"start_time": seconds(NOW) + 60, "value_grouping_window": "hour"},
            {"start_time": seconds(NOW), "value_grouping_window": "day"},
            {"value_grouping_window": "week"},
            {"start_time": seconds(NOW + 2 * DAY)},
            {"limit": 101},
            {"starting_after": "nothing"},
        ],
    )
    def test_what_cannot_be_asked(self, client: stripe.StripeClient, change: dict[str, Any]) -> None:
        made = meter(client)
        with pytest.raises(stripe.InvalidRequestError):
            total(client, made.id, **change)

    def test_a_meter_that_is_not_there(self, client: stripe.StripeClient) -> None:
        with pytest.raises(stripe.InvalidRequestError) as refused:
            total(client, "mtr_nothing")
        assert (refused.value.http_status, refused.value.code) == (404, "resource_missing")


class TestOddRequests:
    @pytest.mark.parametrize("limit", ["0", "101", "000000001" + "9" * 8, "000000001" + "9" * 5_000])
    def test_limits(self, server: Server, key: str, limit: str) -> None:
        headers = {"authorization": f"Bearer {key}"}
        answer = server.http.get("/stripe/v1/billing/meters", params={"limit": limit}, headers=headers)
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "limit")
        assert answer.headers["request-id"] == answer.headers["x-request-id"]

    def test_an_idempotency_key_that_is_longer_than_an_identifier(self, server: Server, key: str) -> None:
        made = meter(client_of(server, key))
        form = {"event_name": "ai_tokens", "payload[stripe_customer_id]": "cus_1", "payload[value]": "5"}
        for last in "aab":
            headers = {"authorization": f"Bearer {key}", "idempotency-key": "k" * 200 + last}
            assert server.http.post(EVENTS, data=form, headers=headers).status_code == 200
        [summary] = total(client_of(server, key), made.id).data
        assert summary.aggregated_value == 10

    def test_meters_made_at_once(self, server: Server, key: str) -> None:
        def make(name: str) -> int:
            form = {"event_name": name, "display_name": name, "default_aggregation[formula]": "sum"}
            headers = {"authorization": f"Bearer {key}"}
            return server.http.post("/stripe/v1/billing/meters", data=form, headers=headers).status_code

        with ThreadPoolExecutor(10) as threads:
            assert [*threads.map(make, (f"e{number}" for number in range(10)))] == [200] * 10
            assert Counter(threads.map(make, ["same"] * 10)) == {200: 1, 400: 9}
        names = [each.event_name for each in client_of(server, key).v1.billing.meters.list({"limit": 100}).data]
        assert sorted(names) == [*(f"e{number}" for number in range(10)), "same"]

    def test_one_that_somebody_took_out_of_the_catalog_can_be_made_again(self, server: Server, key: str) -> None:
        client = client_of(server, key)
        gone = meter(client)
        namespace = f"stripe{next(_numbers) - 1}"
        catalog = EMPTY.format(namespace).encode()
        toml = {"content-type": "application/toml"}
        put = server.admin("PUT", f"/v1/namespaces/{namespace}/catalog", content=catalog, headers=toml)
        assert put.status_code == 200, put.text
        made = meter(client)
        assert made.id != gone.id
        assert [each.id for each in client.v1.billing.meters.list().data] == [made.id]


def test_several_shards_are_one(tmp_path: Path) -> None:
    with serve(tmp_path, now=NOW, arguments=("--shards", "3")) as server:
        key = namespace_key(server, "stripe")
        client = client_of(server, key)
        made = meter(client)
        customers = [f"cus_{number}" for number in range(6)]
        for customer in customers:
            send(client, "5", identifier="same", payload={"stripe_customer_id": customer})
        form = {"event_name": "ai_tokens", "type": "cancel", "cancel[identifier]": "same"}
        headers = {"authorization": f"Bearer {key}"}
        answers = []
        while not answers or answers[-1].status_code != 200:
            assert len(answers) < 5, answers[-1].text
            answers.append(server.http.post("/stripe/v1/billing/meter_event_adjustments", data=form, headers=headers))
            if answers[-1].status_code != 200:
                assert (answers[-1].status_code, answers[-1].headers["retry-after"]) == (503, "1")
                assert answers[-1].json()["error"]["type"] == "api_error"
        for customer in customers:
            assert [each.aggregated_value for each in total(client, made.id, customer).data] == [0]

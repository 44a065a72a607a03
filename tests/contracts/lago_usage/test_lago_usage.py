"""Lago's events and current usage, by the official client and as plain requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from itertools import count
from typing import Any

import httpx
import pytest

from meterhouse.contracts import configured
from meterhouse.contracts.lago import CONTRACT
from meterhouse.domain.errors import Invalid
from support.official import ClientError, OfficialClient, python_client
from support.openmeter_clients import namespace_key
from support.server import Server, serve

_numbers = count(1)
NOW = "2026-03-15T12:00:00Z"
AT = int(datetime(2026, 3, 10, 10, tzinfo=UTC).timestamp())
CATALOG = """
namespace = "{}"

[[meters]]
slug = "storage"
description = "Storage"
event_type = "storage"
aggregation = "SUM"
value = "gb"
group_by = ["region"]

[[meters]]
slug = "calls"
event_type = "call"
aggregation = "COUNT"

[[prices]]
meter = "storage"
currency = "EUR"
type = "per_unit"
price = "0.125"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("lago"), now=NOW) as running:
        yield running


@pytest.fixture(scope="module")
def official() -> Iterator[OfficialClient]:
    with python_client("lago-python-client-1.55.0") as client:
        yield client


class Wire:
    """A namespace, the official client of it, and plain requests."""

    def __init__(self, server: Server, official: OfficialClient):
        self.server, self.official = server, official
        self.namespace = f"lago{next(_numbers)}"
        self.key = namespace_key(server, self.namespace)
        made = server.admin(
            "PUT",
            f"/v1/namespaces/{self.namespace}/catalog",
            content=CATALOG.format(self.namespace).encode(),
            headers={"content-type": "application/toml"},
        )
        assert made.status_code == 200, made.text
        url = f"http://127.0.0.1:{server.port}/lago/"
        official.make("lago_python_client.client", "Client", api_key=self.key, api_url=url)

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"authorization": f"Bearer {self.key}"}
        return self.server.http.request(method, f"/lago/api/v1{path}", headers=headers, **options)

    def send(self, **fields: Any) -> httpx.Response:
        return self("POST", "/events", json={"event": {**event(), **fields}})

    def usage(self, **asked: Any) -> dict[str, Any]:
        path = "/customers/acme/current_usage"
        answer = self("GET", path, params={"external_subscription_id": "sub_1", **asked})
        assert answer.status_code == 200, answer.text
        return answer.json()["customer_usage"]  # type: ignore[no-any-return]


def event(**more: Any) -> dict[str, Any]:
    return {
        "transaction_id": f"t{next(_numbers)}",
        "external_subscription_id": "sub_1",
        "code": "storage",
        "timestamp": AT,
        "properties": {"gb": 10, "region": "eu"},
        **more,
    }


@pytest.fixture
def wire(server: Server, official: OfficialClient) -> Wire:
    return Wire(server, official)


def charges(usage: dict[str, Any]) -> dict[str, tuple[str, int, int]]:
    return {
        each["billable_metric"]["code"]: (each["units"], each["events_count"], each["amount_cents"])
        for each in usage["charges_usage"]
    }


class TestOfficialClient:
    def test_an_event_a_batch_and_the_usage(self, wire: Wire) -> None:
        call = wire.official
        one = event(transaction_id="one", precise_total_amount_cents="12.5")
        made = call("events.create", one_model(one))
        assert made["transaction_id"] == "one"
        assert made["timestamp"] == "2026-03-10T10:00:00.000Z"
        assert made["properties"] == {"gb": 10, "region": "eu"}
        batch = [event(properties={"gb": "0.4"}), event(code="call", properties={})]
        call("events.batch_create", {"__model__": "lago_python_client.models.BatchEvent", "events": batch})
        found = call("events.find", "one")
        assert (found["external_subscription_id"], found["precise_total_amount_cents"]) == ("sub_1", "12.5")
        usage = call("customers.current_usage", "acme", "sub_1")
        assert usage["currency"] == "EUR"
        assert (usage["from_datetime"], usage["to_datetime"]) == ("2026-03-01T00:00:00Z", "2026-03-31T23:59:59Z")
        assert charges(usage) == {"storage": ("10.4", 2, 130), "calls": ("1.0", 1, 0)}
        assert usage["amount_cents"] == 130

    def test_errors_are_the_clients(self, wire: Wire) -> None:
        with pytest.raises(ClientError) as refused:
            wire.official("events.find", "nothing")
        assert refused.value.kind == "LagoApiError"


def one_model(fields: dict[str, Any]) -> dict[str, Any]:
    return {"__model__": "lago_python_client.models.Event", **fields}


class TestEvents:
    def test_the_same_again_counts_once_and_something_else_is_refused(self, wire: Wire) -> None:
        for _ in range(3):
            assert wire.send(transaction_id="one").status_code == 200
        refused = wire.send(transaction_id="one", properties={"gb": 11})
        assert refused.status_code == 422
        assert refused.json() == {
            "status": 422,
            "error": "Unprocessable entity",
            "code": "validation_errors",
            "error_details": {"transaction_id": ["value_already_exist"]},
        }
        other = wire.send(transaction_id="one", external_subscription_id="sub_2", properties={"gb": 1})
        assert other.status_code == 200
        assert charges(wire.usage())["storage"] == ("10.0", 1, 125)

    @pytest.mark.parametrize(
        ("timestamp", "expected"),
        [
            (AT, "2026-03-10T10:00:00.000Z"),
            (str(AT), "2026-03-10T10:00:00.000Z"),
            (f"{AT}.1234567", "2026-03-10T10:00:00.123Z"),
            (AT + 0.5, "2026-03-10T10:00:00.500Z"),
            (None, "2026-03-15T12:00:00.000Z"),
        ],
    )
    def test_times(self, wire: Wire, timestamp: Any, expected: str) -> None:
        assert wire.send(timestamp=timestamp).json()["event"]["timestamp"] == expected

    @pytest.mark.parametrize(
        ("change", "details"),
        [
            ({"transaction_id": ""}, {"transaction_id": ["value_is_mandatory"]}),
            ({"code": ""}, {"code": ["value_is_mandatory"]}),
            ({"external_subscription_id": ""}, {"external_subscription_id": ["value_is_mandatory"]}),
            ({"timestamp": "soon"}, {"timestamp": ["invalid_format"]}),
            ({"timestamp": "NaN"}, {"timestamp": ["invalid_format"]}),
            ({"timestamp": 1e30}, {"timestamp": ["invalid_format"]}),
            ({"timestamp": "1E+999999"}, {"timestamp": ["invalid_format"]}),
            ({"timestamp": "1E+999990"}, {"timestamp": ["invalid_format"]}),
            ({"timestamp": True}, {"timestamp": ["invalid_format"]}),
            ({"timestamp": AT + 400 * 86_400}, {"timestamp": ["invalid_format"]}),
        ],
    )
    def test_what_is_no_event(self, wire: Wire, change: dict[str, Any], details: dict[str, Any]) -> None:
        refused = wire.send(**change)
        assert refused.status_code == 422
        assert refused.json()["error_details"] == details
        batch = wire("POST", "/events/batch", json={"events": [event(), {**event(), **change}]})
        assert batch.json()["error_details"] == {"1": details}
        assert charges(wire.usage())["storage"][1] == 0

    def test_bodies_that_are_none(self, wire: Wire) -> None:
        for body in (b"", b"[]", b'{"event": []}', b"{", b'{"event": {"transaction_id": 1}}'):
            refused = wire("POST", "/events", content=body)
            assert (refused.status_code, refused.json()["code"]) == (400, "bad_request")
        most = wire("POST", "/events/batch", json={"events": [event() for _ in range(100)]})
        assert len(most.json()["events"]) == 100
        many = wire("POST", "/events/batch", json={"events": [event() for _ in range(101)]})
        assert many.json()["error_details"] == {"events": ["too_many_events"]}

    def test_what_a_meter_cannot_read_is_kept(self, wire: Wire) -> None:
        wire.send(properties={"gb": "NaN"})
        wire.send(properties=None)
        assert charges(wire.usage())["storage"] == ("0.0", 2, 0)
        assert wire("GET", "/events").json()["meta"]["total_count"] == 2

    def test_lists(self, wire: Wire) -> None:
        for n in range(5):
            wire.send(transaction_id=f"t-{n}", timestamp=AT + n, code="call" if n % 2 else "storage")
        page = wire("GET", "/events", params={"per_page": 2, "page": 2}).json()
        assert [each["transaction_id"] for each in page["events"]] == ["t-2", "t-1"]
        assert page["meta"] == {
            "current_page": 2,
            "next_page": 3,
            "prev_page": 1,
            "total_pages": 3,
            "total_count": 5,
        }
        for asked, expected in (
            ({"code": "call"}, 2),
            ({"external_subscription_id": "other"}, 0),
            ({"timestamp_from": AT + 1, "timestamp_to": AT + 2}, 2),
            ({"timestamp_from": "2026-03-10T10:00:03Z"}, 2),
        ):
            assert wire("GET", "/events", params=asked).json()["meta"]["total_count"] == expected
        for asked in (
            {"page": 0},
            {"page": "000000001" + "9" * 5_000},
            {"per_page": 101},
            {"per_page": "000000001" + "9" * 8},
            {"timestamp_from": "soon"},
            {"timestamp_from": "1E+999990"},
            {"page": 10_000},
        ):
            assert wire("GET", "/events", params=asked).status_code == 422

    def test_ids_are_always_the_same(self, wire: Wire) -> None:
        made = wire.send(transaction_id="one").json()["event"]
        assert wire("GET", "/events/one").json()["event"]["lago_id"] == made["lago_id"]
        missing = wire("GET", "/events/two")
        assert (missing.status_code, missing.json()["code"]) == (404, "event_not_found")


class TestUsage:
    def test_of_one_meter_and_one_group(self, wire: Wire) -> None:
        wire.send()
        wire.send(properties={"gb": 4, "region": "us"})
        assert charges(wire.usage(billable_metric_code="calls")) == {"calls": ("0.0", 0, 0)}
        usage = wire.usage(**{"billable_metric_code": "storage", "group[region]": "us"})
        assert charges(usage) == {"storage": ("4.0", 1, 50)}

    def test_of_the_subscriptions_own_period(self, wire: Wire) -> None:
        organization = wire.server.organization(
            wire.namespace, {"plan": None, "anchor": "2026-03-12", "interval": "P1M"}
        )
        wire.send(external_subscription_id=organization)
        wire.send(external_subscription_id=organization, timestamp=AT + 5 * 86400)
        usage = wire.usage(external_subscription_id=organization)
        assert (usage["from_datetime"], usage["to_datetime"], usage["issuing_date"]) == (
            "2026-03-12T00:00:00Z",
            "2026-04-11T23:59:59Z",
            "2026-04-11",
        )
        assert charges(usage)["storage"] == ("10.0", 1, 125)

    def test_of_a_subscription_of_another_namespace_nothing_is_told(self, wire: Wire) -> None:
        organization = wire.server.organization("unsiloed", {"plan": None, "anchor": "2026-03-12", "interval": "P1M"})
        usage = wire.usage(external_subscription_id=organization)
        assert usage["from_datetime"] == "2026-03-01T00:00:00Z"

    def test_what_cannot_be_asked(self, wire: Wire) -> None:
        path = "/customers/acme/current_usage"
        assert wire("GET", path).status_code == 422
        asked = {"external_subscription_id": "sub_1"}
        unknown = wire("GET", path, params={**asked, "billable_metric_code": "other"})
        assert (unknown.status_code, unknown.json()["code"]) == (404, "billable_metric_not_found")
        assert wire("GET", path, params={**asked, "group[colour]": "red"}).status_code == 422
        assert wire.server.http.get(f"/lago/api/v1{path}").json()["code"] == "unauthorized"


def test_a_currency_that_there_is_not() -> None:
    with pytest.raises(Invalid, match=r"METERHOUSE_LAGO_CURRENCY is 'ABC'.*not a currency.*a code such as USD"):
        configured(CONTRACT, {"METERHOUSE_LAGO_CURRENCY": "ABC"})

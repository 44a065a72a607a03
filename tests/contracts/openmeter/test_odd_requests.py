"""What attackers and clumsy programs send to OpenMeter's API, one request at a time and many at once."""

from __future__ import annotations

import json
import socket
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

import httpx
import pytest

from support.openmeter_clients import EMPTY, QUERY, TOKENS, Raw, event, problem

METERS, CUSTOMERS, EVENTS = "/api/v1/meters", "/api/v1/customers", "/api/v1/events"
ENTITLEMENTS = "/api/v2/customers/acme/entitlements"
VALUE = "/api/v1/customers/acme/entitlements/tokens/value"
MONTHLY = {
    "type": "metered",
    "featureKey": "tokens",
    "usagePeriod": {"interval": "MONTH", "anchor": "2026-01-01T00:00:00Z"},
    "measureUsageFrom": "CURRENT_PERIOD_START",
    "issueAfterReset": 100,
}
GRANT = {"amount": 5, "effectiveAt": "2026-03-15T12:00:00Z"}


def at_once(send: Callable[[int], httpx.Response], times: int = 10) -> Counter[int]:
    """How often there was which status."""
    with ThreadPoolExecutor(times) as threads:
        return Counter(answer.status_code for answer in threads.map(send, range(times)))


def keys(raw: Raw) -> list[str]:
    return sorted(each["key"] for each in raw("GET", CUSTOMERS).json()["items"])


@pytest.fixture
def entitled(raw: Raw) -> Raw:
    """With a feature, and a customer who is entitled to it."""
    for path, body in (
        ("/api/v1/features", {"key": "tokens", "name": "T", "meterSlug": "tokens_total"}),
        (CUSTOMERS, {"name": "A", "key": "acme"}),
        (ENTITLEMENTS, MONTHLY),
    ):
        made = raw("POST", path, json=body)
        assert made.status_code == 201, made.text
    return raw


class TestNumbersAndTexts:
    @pytest.mark.parametrize("number", ["0", "101", "000000001" + "9" * 8, "000000001" + "9" * 5_000, "1e1", "\u0663"])
    def test_limits(self, raw: Raw, number: str) -> None:
        problem(raw("GET", EVENTS, params={"limit": number}), 400)

    def test_a_number_with_zeros_before_it(self, raw: Raw) -> None:
        assert raw("GET", CUSTOMERS, params={"pageSize": "0001000"}).json()["pageSize"] == 1_000

    def test_more_parameters_than_are_read(self, raw: Raw) -> None:
        problem(raw("GET", f"{QUERY}?{'subject=a&' * 2_000}"), 400)

    def test_letters_that_nobody_encoded(self, raw: Raw) -> None:
        raw.send(event("é", tokens=1))
        asked = f"GET {raw.prefix}{QUERY}?subject=é HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {raw.key}\r\n"
        with socket.create_connection(("127.0.0.1", raw.server.port), timeout=30) as connection:
            connection.sendall(f"{asked}connection: close\r\n\r\n".encode())
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
        assert b'"value":1,' in answer

    @pytest.mark.parametrize("at", ["2026-01-01T00:00:00", "2026-13-01T00:00:00Z"])
    def test_cursors_that_are_none(self, raw: Raw, at: str) -> None:
        problem(raw("GET", "/api/v2/events", params={"cursor": json.dumps([at, "a", "b", "c"]).encode().hex()}), 400)

    def test_a_text_without_an_end_is_looked_at_once(self, raw: Raw) -> None:
        begun = monotonic()
        sent = raw("POST", EVENTS, content=b"NaN" + b'"\\' * 150_000, headers={"content-type": "application/json"})
        problem(sent, 400)
        assert monotonic() - begun < 5

    def test_head_is_answered_as_get_is(self, raw: Raw) -> None:
        answer = raw("HEAD", METERS)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["content-length"] == str(len(raw("GET", METERS).content))
        assert raw("HEAD", f"{METERS}/nothing").status_code == 404


class TestMeters:
    def test_different_ones_at_once_are_all_made(self, raw: Raw) -> None:
        made = at_once(lambda number: raw("POST", METERS, json={**TOKENS, "slug": f"m{number}"}))
        assert made == {201: 10}
        assert len(raw("GET", METERS).json()) == 11

    def test_the_same_one_at_once_is_made_once(self, raw: Raw) -> None:
        for name in ("a", "b", "c", "d"):
            meter = {**TOKENS, "slug": name}
            assert at_once(lambda _, meter=meter: raw("POST", METERS, json=meter)) == {201: 1, 409: 9}  # type: ignore[misc]
            assert raw("GET", f"{METERS}/{name}").json()["name"] == name

    def test_one_that_somebody_took_out_of_the_catalog_can_be_made_again(self, raw: Raw) -> None:
        put = raw.server.admin(
            "PUT",
            f"/v1/namespaces/{raw.namespace}/catalog",
            content=EMPTY.format(raw.namespace).encode(),
            headers={"content-type": "application/toml"},
        )
        assert put.status_code == 200
        problem(raw("GET", f"{METERS}/tokens_total"), 404)
        made = raw("POST", METERS, json={**TOKENS, "name": "Again"})
        assert (made.status_code, made.json()["name"]) == (201, "Again")


class TestCustomers:
    def test_a_subject_belongs_to_one(self, raw: Raw) -> None:
        first = raw("POST", CUSTOMERS, json={"name": "A", "key": "a", "usageAttribution": {"subjectKeys": ["a", "s"]}})
        assert first.status_code == 201, first.text
        for body in (
            {"name": "B", "key": "b", "usageAttribution": {"subjectKeys": ["a"]}},
            {"name": "B", "key": "b", "usageAttribution": {"subjectKeys": ["s"]}},
            {"name": "B", "key": "s"},
            {"name": "B", "key": first.json()["id"]},
        ):
            refused = problem(raw("POST", CUSTOMERS, json=body), 409)
            assert refused["extensions"]["conflictingEntityId"] == first.json()["id"]
        assert keys(raw) == ["a"]
        same = {"name": "A2", "key": "s", "usageAttribution": {"subjectKeys": ["a", "s"]}}
        assert raw("PUT", f"{CUSTOMERS}/a", json=same).status_code == 200

    def test_one_that_is_named_twice_counts_once(self, raw: Raw) -> None:
        made = raw("POST", CUSTOMERS, json={"name": "A", "key": "a"}).json()
        raw.send(event("a", tokens=3))
        rows = raw.rows(filterCustomerId=[made["id"], "a"])
        assert [(row["customerId"], row["value"]) for row in rows] == [(made["id"], 3)]
        raw.send(event("b", tokens=4))
        assert raw.rows(filterCustomerId=made["id"], subject="b") == []

    def test_of_those_made_at_once_with_a_subject_in_common_one_is_left(self, raw: Raw) -> None:
        def make(number: int) -> httpx.Response:
            subjects = [f"own{number}", "common"]
            body = {"name": "A", "key": f"k{number}", "usageAttribution": {"subjectKeys": subjects}}
            return raw("POST", CUSTOMERS, json=body)

        assert at_once(make) == {201: 1, 409: 9}
        [left] = keys(raw)
        free = {"name": "B", "usageAttribution": {"subjectKeys": [f"own{n}" for n in range(10) if f"k{n}" != left]}}
        assert raw("POST", CUSTOMERS, json=free).status_code == 201

    def test_replaced_at_once_with_a_subject_in_common_all_are_left(self, raw: Raw) -> None:
        for number in range(10):
            body = {"name": "A", "key": f"k{number}", "usageAttribution": {"subjectKeys": [f"own{number}"]}}
            assert raw("POST", CUSTOMERS, json=body).status_code == 201
        for turn in range(3):

            def replace(number: int, turn: int = turn) -> httpx.Response:
                subjects = [f"new{number}-{turn}", f"common{turn}"]
                body = {"name": "B", "key": f"k{number}", "usageAttribution": {"subjectKeys": subjects}}
                return raw("PUT", f"{CUSTOMERS}/k{number}", json=body)

            assert at_once(replace) == {200: 1, 409: 9}
            assert keys(raw) == [f"k{number}" for number in range(10)]
            freed = {"name": "C", "key": f"c{turn}", "usageAttribution": {"subjectKeys": ["again"]}}
            assert raw("POST", CUSTOMERS, json=freed).status_code == 201
            assert raw("DELETE", f"{CUSTOMERS}/c{turn}").status_code == 204


class TestEntitlements:
    @pytest.mark.parametrize(
        "change",
        [
            {"usagePeriod": None},
            {"usagePeriod": {}},
            {"usagePeriod": {"interval": "DAY", "anchor": 5}},
            {"usagePeriod": {"interval": ["DAY"]}},
            {"usagePeriod": {"interval": "FORTNIGHT"}},
            {"issueAfterReset": "NaN"},
            {"issueAfterReset": "1e999999"},
            {"issueAfterReset": -1},
            {"measureUsageFrom": {"at": "now"}},
            {"isUnlimited": True},
            {"type": "static", "config": "{"},
        ],
    )
    def test_what_is_none_does_not_override_one(self, entitled: Raw, change: dict[str, Any]) -> None:
        before = entitled("GET", f"{ENTITLEMENTS}/tokens").json()
        problem(entitled("PUT", f"{ENTITLEMENTS}/tokens/override", json={**MONTHLY, **change}), 400)
        assert entitled("GET", f"{ENTITLEMENTS}/tokens").json() == before

    @pytest.mark.parametrize(
        "change",
        [
            {"amount": 0},
            {"amount": "Infinity"},
            {"priority": 256},
            {"expiration": {"duration": ["DAY"], "count": 1}},
            {"expiration": {"duration": "DAY", "count": 2**70}},
            {"expiration": {"duration": "DAY", "count": 0}},
            {"expiration": {"duration": "AEON", "count": 1}},
            {"expiration": {"duration": "YEAR", "count": 236}},
            {"recurrence": {"interval": "DAY", "anchor": 5}},
            {"recurrence": {}},
            {"minRolloverAmount": -1},
        ],
    )
    def test_what_is_no_grant(self, entitled: Raw, change: dict[str, Any]) -> None:
        problem(entitled("POST", f"{ENTITLEMENTS}/tokens/grants", json={**GRANT, **change}), 400)
        assert entitled("GET", VALUE).json()["balance"] == 100

    def test_a_grant_begins_with_the_usage_period_at_the_earliest(self, entitled: Raw) -> None:
        path = f"{ENTITLEMENTS}/tokens/grants"
        problem(entitled("POST", path, json={**GRANT, "effectiveAt": "2026-02-28T23:59:59.999999Z"}), 400)
        assert entitled("POST", path, json={**GRANT, "effectiveAt": "2026-03-01T00:00:00Z"}).status_code == 201
        assert entitled("GET", VALUE).json()["balance"] == 105

    def test_what_rolls_over_unless_it_is_said(self, entitled: Raw) -> None:
        grant = {**GRANT, "expiration": {"duration": "YEAR", "count": 1}}
        for path, most in ((ENTITLEMENTS, 5), ("/api/v1/subjects/acme/entitlements", 0)):
            made = entitled("POST", f"{path}/tokens/grants", json=grant).json()
            assert (made["minRolloverAmount"], made["maxRolloverAmount"]) == (0, most)

    def test_a_grant_that_is_voided_before_it_begins_never_does(self, entitled: Raw) -> None:
        path = f"{ENTITLEMENTS}/tokens/grants"
        made = entitled("POST", path, json={**GRANT, "effectiveAt": "2026-04-01T00:00:00Z"}).json()
        assert entitled("DELETE", f"/api/v1/grants/{made['id']}").status_code == 204
        assert entitled("GET", path).json()["items"][0]["voidedAt"] == "2026-04-01T00:00:00Z"

    def test_a_grant_for_as_long_as_there_are_years(self, entitled: Raw) -> None:
        grant = {**GRANT, "expiration": {"duration": "YEAR", "count": 235}}
        assert entitled("POST", f"{ENTITLEMENTS}/tokens/grants", json=grant).status_code == 201
        assert entitled("GET", VALUE).json()["balance"] == 105

    def test_it_is_found_by_the_id_of_its_feature_too(self, entitled: Raw) -> None:
        made = entitled("GET", f"{ENTITLEMENTS}/tokens").json()
        for name in (made["id"], made["featureId"], "tokens"):
            assert entitled("GET", f"{ENTITLEMENTS}/{name}").json() == made
            history = entitled("GET", f"{ENTITLEMENTS}/{name}/history", params={"windowSize": "DAY"})
            assert len(history.json()["windowedHistory"]) == 15, history.text

    def test_a_feature_has_one_and_what_has_one_is_not_deleted(self, entitled: Raw) -> None:
        made = entitled("GET", f"{ENTITLEMENTS}/tokens").json()
        again = problem(entitled("POST", ENTITLEMENTS, json=MONTHLY), 409)
        assert again["extensions"]["conflictingEntityId"] == made["id"]
        problem(entitled("DELETE", f"{CUSTOMERS}/acme"), 409)
        entitled("POST", "/api/v1/subjects", json=[{"key": "alone"}])
        subject = "/api/v1/subjects/alone"
        expiring = {**MONTHLY, "measureUsageFrom": "2026-02-01T00:00:00Z", "preserveOverageAtReset": True}
        assert entitled("POST", f"{subject}/entitlements", json=expiring).status_code == 201
        problem(entitled("DELETE", subject), 409)
        entitled.send(event("alone", "2026-02-10T00:00:00Z", tokens=130))
        value = entitled("GET", f"{subject}/entitlements/tokens/value").json()
        assert (value["usage"], value["balance"], value["overage"]) == (0, 70, 0)

    def test_before_its_time_there_is_no_access(self, entitled: Raw) -> None:
        assert entitled("GET", VALUE, params={"time": "2026-03-01T00:00:00Z"}).json()["hasAccess"] is True
        assert entitled("GET", VALUE, params={"time": "2026-02-28T23:59:59Z"}).json() == {"hasAccess": False}
        problem(entitled("GET", VALUE, params={"time": "2026-03-15T12:00:01Z"}), 400)

    def test_a_feature_takes_no_meter_of_averages(self, raw: Raw) -> None:
        raw("POST", METERS, json={**TOKENS, "slug": "average", "aggregation": "AVG"})
        problem(raw("POST", "/api/v1/features", json={"key": "f", "name": "F", "meterSlug": "average"}), 400)

    def test_it_outlives_its_feature_and_its_meter(self, entitled: Raw) -> None:
        entitled.send(event("acme", tokens=30))
        assert entitled("GET", VALUE).json()["usage"] == 30
        for path in ("/api/v1/features/tokens", f"{METERS}/tokens_total"):
            assert entitled("DELETE", path).status_code == 204
        value = entitled("GET", VALUE).json()
        assert (value["usage"], value["balance"]) == (0, 100)

    def test_values_that_were_counted_once_over_many_usage_periods(self, raw: Raw) -> None:
        """With grants that begin inside of a usage period, so that some have several stretches."""
        meter = {"slug": "users", "aggregation": "UNIQUE_COUNT", "eventType": "prompt", "valueProperty": "$.user"}
        raw("POST", METERS, json=meter)
        raw("POST", "/api/v1/features", json={"key": "tokens", "name": "T", "meterSlug": "users"})
        raw("POST", CUSTOMERS, json={"name": "A", "key": "acme"})
        daily = {"interval": "DAY", "anchor": "2026-01-01T00:00:00Z"}
        asked = {**MONTHLY, "usagePeriod": daily, "measureUsageFrom": "2024-01-01T00:00:00Z"}
        assert raw("POST", ENTITLEMENTS, json=asked).status_code == 201
        recurring = {**GRANT, "effectiveAt": "2026-03-15T06:00:00Z"}
        assert raw("POST", f"{ENTITLEMENTS}/tokens/grants", json=recurring).status_code == 201
        raw.send(
            event("acme", "2026-03-13T01:00:00Z", user="x"),
            event("acme", "2026-03-14T01:00:00Z", user="x"),
            event("acme", "2026-03-14T02:00:00Z", user="y"),
            event("acme", "2026-03-14T23:00:00Z", user="x"),
            event("acme", "2026-03-15T01:00:00Z", user="x"),
            event("acme", "2026-03-15T07:00:00Z", user="x"),
            event("acme", "2026-03-15T08:00:00Z", user="z"),
        )
        reasons = {each["validationError"] for each in raw("GET", EVENTS).json()}
        assert reasons == {'invalid event: missing value property: "$.tokens"'}  # of the other meter
        begun = monotonic()
        value = raw("GET", VALUE).json()
        assert (value["usage"], value["balance"]) == (2, 103)
        assert monotonic() - begun < 3
        span = {"windowSize": "HOUR", "from": "2026-03-13T00:00:00Z"}
        windows = raw("GET", f"{ENTITLEMENTS}/tokens/history", params=span).json()["windowedHistory"]
        used = {each["period"]["from"][8:13]: each["usage"] for each in windows if each["usage"]}
        assert used == {"13T01": 1, "14T01": 1, "14T02": 1, "15T01": 1, "15T08": 1}

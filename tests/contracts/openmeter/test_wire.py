"""OpenMeter's API itself, where clients do not show enough of it: statuses, problems, filters, odd requests."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.openmeter_clients import NOW, QUERY, TOKENS, Raw, event, metered, namespace_key, problem
from support.server import ADMIN_KEY, Server, serve

EVENTS = "/api/v1/events"


class TestWhoMayAsk:
    def test_without_a_key(self, raw: Raw) -> None:
        problem(raw.server.http.get("/openmeter/api/v1/meters"), 401)

    @pytest.mark.parametrize("key", [ADMIN_KEY, "mh_op_00000000000000000000000000000000"])
    def test_keys_that_are_for_no_namespace(self, raw: Raw, key: str) -> None:
        status = 403 if key == ADMIN_KEY else 401
        problem(raw("GET", "/api/v1/meters", headers={"authorization": f"Bearer {key}"}), status)

    def test_a_key_that_ingests_does_nothing_else(self, raw: Raw) -> None:
        wanted = {"name": "gateway", "role": "ingest", "namespace": raw.namespace}
        key = raw.server.admin("POST", "/v1/operator-keys", wanted).json()["key"]
        ingesting = Raw(raw.server, raw.namespace, key)
        ingesting.send(event(tokens=1))
        problem(ingesting("GET", "/api/v1/meters"), 403)
        assert [row["value"] for row in raw.rows()] == [1]

    def test_it_reads_and_changes_nothing_of_our_own_api_but_ingests(self, raw: Raw) -> None:
        headers = {"authorization": f"Bearer {raw.key}"}
        http = raw.server.http
        assert http.get("/v1/organizations", headers=headers).status_code == 403
        assert http.get("/v1/query", params={"namespace": raw.namespace}, headers=headers).status_code == 403
        sent = http.post("/v1/events", params={"namespace": raw.namespace}, json=event(tokens=2), headers=headers)
        assert sent.status_code == 200
        elsewhere = http.post("/v1/events", params={"namespace": "unsiloed"}, json=event(tokens=2), headers=headers)
        assert elsewhere.status_code == 403

    def test_namespaces_do_not_see_each_other(self, raw: Raw, server: Server) -> None:
        other = metered(Raw(server, "elsewhere", namespace_key(server, "elsewhere")))
        raw.send(event(tokens=1))
        made = raw("POST", "/api/v1/customers", json={"name": "A", "key": "a"}).json()
        assert other.rows() == []
        assert other("GET", EVENTS).json() == []
        problem(other("GET", f"/api/v1/customers/{made['id']}"), 404)


class TestIngest:
    @pytest.mark.parametrize(
        ("media", "body"),
        [
            ("application/cloudevents+json", event("one", tokens=1)),
            ("Application/CloudEvents+JSON; charset=utf-8", event("one", tokens=1)),
            ("application/cloudevents-batch+json", [event("one", tokens=1)]),
            ("application/json", event("one", tokens=1)),
            ("application/json", [event("one", tokens=1)]),
        ],
    )
    def test_content_types(self, raw: Raw, media: str, body: object) -> None:
        sent = raw("POST", EVENTS, content=json.dumps(body), headers={"content-type": media})
        assert (sent.status_code, sent.content) == (204, b"")
        assert [row["value"] for row in raw.rows()] == [1]

    def test_a_content_type_that_is_not_spoken(self, raw: Raw) -> None:
        problem(raw("POST", EVENTS, content=b"{}", headers={"content-type": "text/plain"}), 400)

    def test_the_outcome_is_in_a_header(self, raw: Raw) -> None:
        one = event(tokens=1)
        raw.send(one)
        told = raw.send(one, {**one, "data": {"tokens": 2}}, event(tokens=4), {**event(), "type": "odd"})
        expected = "ingested=2; duplicates=1; conflicts=1; rejected=0; unmatched=1"
        assert told.headers["meterhouse-ingest"] == expected
        assert [row["value"] for row in raw.rows()] == [5]

    def test_numbers_that_json_does_not_have(self, raw: Raw) -> None:
        text = json.dumps([event("a", tokens=float("nan"), note="NaN, they said"), event("b", tokens=3)])
        assert "NaN," in text
        sent = raw("POST", EVENTS, content=text, headers={"content-type": "application/json"})
        assert sent.status_code == 204
        assert [row["value"] for row in raw.rows()] == [3]
        [listed] = [each for each in raw("GET", EVENTS).json() if each["event"]["subject"] == "a"]
        assert listed["event"]["data"] == {"tokens": "NaN", "note": "NaN, they said"}

    @pytest.mark.parametrize(
        "change",
        [
            {"id": ""},
            {"source": None},
            {"specversion": "0.3"},
            {"data": [1]},
            {"data": "text"},
            {"datacontenttype": "text/xml"},
            {"time": "yesterday"},
            {"time": "2100-01-01T00:00:00Z"},
            {"subject": "a\u0000b"},
            {"id": "x" * 600},
        ],
    )
    def test_what_is_malformed_takes_the_whole_request_with_it(self, raw: Raw, change: dict[str, Any]) -> None:
        told = problem(raw.send(event(tokens=1), {**event(tokens=1), **change}, status=400), 400)
        [error] = told["extensions"]["validationErrors"]
        assert error["field"] == "[1]"
        assert raw.rows() == []

    def test_digits_are_kept(self, raw: Raw) -> None:
        raw.send(event(tokens="12345678901234567890.123456789"), event(tokens="0.000000001"))
        answer = raw("GET", QUERY)
        assert '"value":12345678901234567890.12345679' in answer.text

    def test_a_time_in_any_zone_and_none(self, raw: Raw) -> None:
        raw.send({**event(tokens=1), "time": "2026-03-15T01:30:00.123456+05:30"}, {**event(tokens=2), "time": None})
        times = [each["event"]["time"] for each in raw("GET", EVENTS).json()]
        assert times == ["2026-03-15T12:00:00Z", "2026-03-14T20:00:00.123456Z"]

    def test_an_empty_batch(self, raw: Raw) -> None:
        raw.send()


class TestLists:
    def test_what_is_asked_for(self, raw: Raw) -> None:
        raw.send(
            {**event("a", "2026-03-01T00:00:00Z", tokens=1), "id": "one-1"},
            {**event("b", "2026-03-02T00:00:00Z", tokens=1), "id": "one_2"},
            {**event("a", "2026-03-03T00:00:00Z", tokens=1), "id": "two%3"},
        )

        def ids(**asked: Any) -> list[str]:
            return [each["event"]["id"] for each in raw("GET", EVENTS, params=asked).json()]

        assert ids() == ["two%3", "one_2", "one-1"]
        assert ids(subject="a") == ["two%3", "one-1"]
        assert ids(id="one") == ["one_2", "one-1"]
        assert ids(id="_") == ["one_2"]
        assert ids(id="%") == ["two%3"]
        assert ids(**{"from": "2026-03-02T00:00:00Z", "to": "2026-03-03T00:00:00Z"}) == ["one_2"]
        assert ids(limit=1) == ["two%3"]
        assert ids(ingestedAtFrom="2026-03-16T00:00:00Z") == []
        problem(raw("GET", EVENTS, params={"limit": 0}), 400)

    def test_page_by_page(self, raw: Raw) -> None:
        raw.send(*({**event("a" if n % 2 else "b", tokens=n), "id": f"e{n}"} for n in range(7)))
        found, cursor = list[str](), None
        for _ in range(10):
            asked = {"limit": "3", **({"cursor": cursor} if cursor else {})}
            page = raw("GET", "/api/v2/events", params=asked).json()
            found += [each["event"]["id"] for each in page["items"]]
            cursor = page.get("nextCursor")
            if cursor is None:
                break
        assert sorted(found) == [f"e{n}" for n in range(7)]
        problem(raw("GET", "/api/v2/events", params={"cursor": "nonsense"}), 400)

    @pytest.mark.parametrize(
        ("wanted", "expected"),
        [
            ({"subject": {"$eq": "a"}}, "13"),
            ({"subject": {"$ne": "a"}}, "2"),
            ({"id": {"$in": ["1", "2"]}}, "12"),
            ({"id": {"$nin": ["1", "2"]}}, "3"),
            ({"source": {"$like": "te%"}, "subject": {"$ilike": "A"}}, "13"),
            ({"source": {"$nlike": "te%"}}, ""),
            ({"id": {"$and": [{"$gt": "1"}, {"$lte": "3"}]}}, "23"),
            ({"id": {"$or": [{"$eq": "1"}, {"$eq": "3"}]}}, "13"),
            ({"time": {"$gte": "2026-03-02T00:00:00Z", "$lt": "2026-03-03T00:00:00Z"}}, "2"),
            ({"type": {"$eq": "prompt"}, "ingestedAt": {"$lte": NOW}}, "123"),
        ],
    )
    def test_filters(self, raw: Raw, wanted: dict[str, Any], expected: str) -> None:
        raw.send(
            {**event("a", "2026-03-01T00:00:00Z"), "id": "1"},
            {**event("b", "2026-03-02T00:00:00Z"), "id": "2"},
            {**event("a", "2026-03-03T00:00:00Z"), "id": "3"},
        )
        page = raw("GET", "/api/v2/events", params={"filter": json.dumps(wanted)}).json()
        assert "".join(sorted(each["event"]["id"] for each in page["items"])) == expected

    @pytest.mark.parametrize(
        "wanted",
        [
            "[]",
            "{",
            '{"colour": {"$eq": "red"}}',
            '{"id": "a"}',
            '{"id": {"$is": "a"}}',
            '{"id": {"$eq": 1}}',
            '{"time": {"$like": "2026%"}}',
            '{"time": {"$gte": "soon"}}',
            '{"id": ' + '{"$and": [' * 20 + '{"$eq": "a"}' + "]}" * 20 + "}",
            '{"id": {"$and": []}}',
            '{"id": {"$like": "a\\\\"}}',
            '{"id": {"$nilike": "\\\\\\\\\\\\"}}',
            '{"customerId": {"$eq": "a"}}',
        ],
    )
    def test_filters_that_are_none(self, raw: Raw, wanted: str) -> None:
        problem(raw("GET", "/api/v2/events", params={"filter": wanted}), 400)

    def test_a_voided_event_says_so(self, raw: Raw) -> None:
        one = event("acme", tokens=1)
        raw.send(one)
        name = {"source": one["source"], "id": one["id"], "organization": "acme"}
        draft = {"actor": "ada", "reason": "a mistake", "void": [name]}
        voided = raw.server.admin("POST", "/v1/corrections", draft, params={"namespace": raw.namespace})
        assert voided.status_code == 200, voided.text
        [listed] = raw("GET", EVENTS).json()
        assert listed["validationError"].startswith("voided")
        assert raw.rows() == []


class TestQueries:
    def test_every_form_of_filter(self, raw: Raw) -> None:
        raw.send(event(tokens=1, model="gpt-4"), event(tokens=2, model="gpt-5"), event(tokens=4))

        def total(**asked: Any) -> int:
            return sum(row["value"] for row in raw.rows(**asked))

        def advanced(**given: Any) -> int:
            return total(advancedMeterGroupByFilters=json.dumps({"model": given}))

        assert total(**{"filterGroupBy[model]": "gpt-4"}) == 1
        assert total(filterGroupBy="{'model': 'gpt-5'}") == 2
        assert advanced(**{"$eq": "gpt-4"}) == 1
        assert advanced(**{"$ne": "gpt-4"}) == 6
        assert advanced(**{"$in": ["gpt-4", "gpt-5"]}) == 3
        assert advanced(**{"$like": "gpt%"}) == 3
        assert advanced(**{"$nlike": "%4"}) == 6
        assert advanced(**{"$ilike": "GPT-_"}) == 3
        assert advanced(**{"$or": [{"$gt": "gpt-4"}, {"$eq": ""}]}) == 6
        posted = raw("POST", QUERY, json={"filterGroupBy": {"model": ["gpt-4", ""]}}).json()["data"]
        assert sum(row["value"] for row in posted) == 5

    @pytest.mark.parametrize(
        "asked",
        [
            {"from": "2026-03-02T00:00:00Z", "to": "2026-03-02T00:00:00Z"},
            {"from": "2026-03-02T00:00:00Z", "to": "2026-03-01T00:00:00Z"},
            {"from": "soon"},
            {"windowSize": "WEEK"},
            {"windowTimeZone": "Mars/Base"},
            {"groupBy": "colour"},
            {"groupBy": "customer_id"},
            {"filterGroupBy": "model=x"},
            {"filterGroupBy": "[1]"},
            {"filterGroupBy": "(" * 3000},
            {"filterGroupBy": "{'model': '\\ud800'}"},
            {"filterGroupBy": "{'\\ud800': 'x'}"},
            {"filterGroupBy": "{'model': 1}"},
            {"filterGroupBy": "{[]: 'x'}"},
            {"filterGroupBy[colour]": "red"},
            {"advancedMeterGroupByFilters": "{"},
            {"advancedMeterGroupByFilters": '{"colour": {"$eq": "red"}}'},
            {"advancedMeterGroupByFilters": '{"model": {"$eq": "x"}}', "filterGroupBy[model]": "x"},
            {"windowSize": "MINUTE", "from": "2020-01-01T00:00:00Z"},
        ],
    )
    def test_what_cannot_be_asked(self, raw: Raw, asked: dict[str, str]) -> None:
        raw.send(event(tokens=1))
        problem(raw("GET", QUERY, params=asked), 400)

    def test_an_unknown_customer_and_an_unknown_meter(self, raw: Raw) -> None:
        problem(raw("GET", QUERY, params={"filterCustomerId": "01G65Z755AFWAKHE12NY0CQ9FH"}), 404)
        problem(raw("GET", "/api/v1/meters/nothing/query"), 404)

    def test_without_sides_it_is_from_the_first_minute_to_the_last(self, raw: Raw) -> None:
        raw.send(event("a", "2026-03-02T10:00:30Z", tokens=1), event("a", "2026-03-04T11:59:59.5Z", tokens=2))
        [row] = raw.rows()
        assert (row["windowStart"], row["windowEnd"]) == ("2026-03-02T10:00:00Z", "2026-03-04T12:00:00Z")
        answer = raw("GET", QUERY, params={"from": "2026-03-03T00:00:00Z", "windowSize": "HOUR"}).json()
        assert answer["from"] == "2026-03-03T00:00:00Z"
        assert "to" not in answer
        [row] = answer["data"]
        assert (row["windowStart"], row["windowEnd"]) == ("2026-03-04T11:00:00Z", "2026-03-04T12:00:00Z")

    def test_windows_are_whole_though_the_span_is_not(self, raw: Raw) -> None:
        raw.send(
            event("a", "2026-03-02T10:10:00Z", tokens=1),
            event("a", "2026-03-02T10:40:00Z", tokens=2),
            event("a", "2026-04-01T00:00:00Z", tokens=4),
        )
        span = {"from": "2026-03-02T10:30:00Z", "to": "2026-04-01T00:00:00Z"}
        for size, start, end in (
            ("MINUTE", "2026-03-02T10:40:00Z", "2026-03-02T10:41:00Z"),
            ("HOUR", "2026-03-02T10:00:00Z", "2026-03-02T11:00:00Z"),
            ("DAY", "2026-03-02T00:00:00Z", "2026-03-03T00:00:00Z"),
            ("MONTH", "2026-03-01T00:00:00Z", "2026-04-01T00:00:00Z"),
        ):
            [row] = raw.rows(**span, windowSize=size)
            assert (row["windowStart"], row["windowEnd"], row["value"]) == (start, end, 2), size

    def test_every_aggregation(self, raw: Raw) -> None:
        raw.send(
            event("a", "2026-03-02T10:00:00Z", tokens=4, user="x"),
            event("a", "2026-03-02T11:00:00Z", tokens=1, user="y"),
            event("b", "2026-03-02T12:00:00Z", tokens=2, user="x"),
            event("b", "2026-03-02T13:00:00Z", model="nothing to count"),
        )
        for aggregation, expected in (
            ("SUM", 7),
            ("COUNT", 4),
            ("MIN", 1),
            ("MAX", 4),
            ("LATEST", 2),
            ("UNIQUE_COUNT", 2),
        ):
            meter = {"slug": aggregation.lower(), "aggregation": aggregation, "eventType": "prompt"}
            if aggregation != "COUNT":
                meter["valueProperty"] = "$.user" if aggregation == "UNIQUE_COUNT" else "$.tokens"
            assert raw("POST", "/api/v1/meters", json=meter).status_code == 201
            path = f"/api/v1/meters/{aggregation.lower()}/query"
            [row] = raw("GET", path).json()["data"]
            assert row["value"] == expected, aggregation

    def test_csv(self, raw: Raw) -> None:
        raw.send(event("a,1", "2026-03-02T10:00:00Z", tokens=12, model="m"))
        asked = {"subject": "a,1", "groupBy": "model"}
        answer = raw("GET", QUERY, params=asked, headers={"accept": "text/csv"})
        assert answer.headers["content-type"] == "text/csv"
        assert answer.headers["content-disposition"] == "attachment; filename=tokens_total.csv"
        expected = (
            'window_start,window_end,subject,model,value\n2026-03-02T10:00:00Z,2026-03-02T10:01:00Z,"a,1",m,12.000000\n'
        )
        assert answer.text == expected
        raw("POST", "/api/v1/subjects", json=[{"key": "a,1", "displayName": "Acme"}])
        named = raw("GET", QUERY, params=asked, headers={"accept": "text/csv"}).text
        assert named.splitlines()[0] == "window_start,window_end,subject,subject_display_name,model,value"
        assert ",Acme," in named
        assert raw("POST", QUERY, headers={"accept": "text/csv"}).text.splitlines()[1].endswith(",12.000000")

    def test_subjects_and_values_of_groups(self, raw: Raw) -> None:
        raw.send(event("b", tokens=1, model="y"), event("a", tokens=1, model="x"), event("c", tokens=1))
        assert raw("GET", "/api/v1/meters/tokens_total/subjects").json() == ["a", "b", "c"]
        assert raw("GET", "/api/v1/meters/tokens_total/group-by/model/values").json() == ["x", "y"]
        problem(raw("GET", "/api/v1/meters/tokens_total/group-by/colour/values"), 400)


class TestMeters:
    @pytest.mark.parametrize(
        "change",
        [
            {"slug": "Upper"},
            {"slug": "a" * 65},
            {"aggregation": "TOTAL"},
            {"eventType": ""},
            {"valueProperty": None},
            {"aggregation": "COUNT"},
            {"valueProperty": "tokens"},
            {"valueProperty": "$.a[0]"},
            {"valueProperty": "$"},
            {"groupBy": {"1x": "$.a"}},
            {"groupBy": {"x": "$.tokens"}},
            {"groupBy": {"x": "a"}},
            {"eventFrom": NOW},
        ],
    )
    def test_what_is_no_meter(self, raw: Raw, change: dict[str, Any]) -> None:
        problem(raw("POST", "/api/v1/meters", json={**TOKENS, "slug": "other", **change}), 400)

    def test_a_path_with_brackets(self, raw: Raw) -> None:
        meter = {**TOKENS, "slug": "deep", "valueProperty": "$['a']['b c'].d", "groupBy": {"g": '$["x y"]'}}
        made = raw("POST", "/api/v1/meters", json=meter)
        assert made.status_code == 201, made.text
        assert made.json()["valueProperty"] == "$.a['b c'].d"
        raw.send({**event(), "data": {"a": {"b c": {"d": "2.5"}}, "x y": "z"}})
        [row] = raw("GET", "/api/v1/meters/deep/query", params={"groupBy": "g"}).json()["data"]
        assert (row["value"], row["groupBy"]) == (2.5, {"g": "z"})

    def test_it_is_replaced(self, raw: Raw) -> None:
        put = raw("PUT", "/api/v1/meters/tokens_total", json={"slug": "ignored", "groupBy": {"m": "$.model"}})
        assert put.status_code == 200
        assert (put.json()["slug"], put.json()["name"], put.json()["groupBy"]) == (
            "tokens_total",
            "tokens_total",
            {"m": "$.model"},
        )
        assert "groupBy" not in raw("PUT", "/api/v1/meters/tokens_total", json={}).json()
        problem(raw("PUT", "/api/v1/meters/nothing", json={}), 404)

    def test_one_that_a_feature_uses_stays(self, raw: Raw) -> None:
        made = raw("POST", "/api/v1/features", json={"key": "f", "name": "F", "meterSlug": "tokens_total"})
        refused = problem(raw("DELETE", "/api/v1/meters/tokens_total"), 409)
        assert refused["extensions"]["conflictingEntityId"] == made.json()["id"]
        assert raw("DELETE", "/api/v1/features/f").status_code == 204
        assert raw("DELETE", "/api/v1/meters/tokens_total").status_code == 204
        listed = raw("GET", "/api/v1/meters", params={"includeDeleted": "true"}).json()
        assert [(each["slug"], each["deletedAt"]) for each in listed] == [("tokens_total", NOW)]

    def test_meters_of_a_catalog_are_there_too(self, server: Server) -> None:
        wanted = {"name": "reader", "role": "namespace", "namespace": "unsiloed"}
        key = server.admin("POST", "/v1/operator-keys", wanted).json()["key"]
        listed = Raw(server, "unsiloed", key)("GET", "/api/v1/meters").json()
        assert listed
        assert all(len(each["id"]) == 26 for each in listed)


class TestSubjects:
    def test_one_that_is_deleted_is_told_from_one_that_never_was(self, raw: Raw) -> None:
        path = "/api/v1/subjects/acme%2Feu"
        problem(raw("GET", f"{path}/entitlements"), 404)
        [made] = raw("POST", "/api/v1/subjects", json=[{"key": "acme/eu"}]).json()
        assert raw("GET", f"{path}/entitlements").json() == []
        assert raw("DELETE", path).status_code == 204
        problem(raw("GET", f"{path}/entitlements"), 412)
        problem(raw("GET", f"/api/v1/subjects/{made['id']}/entitlements"), 412)
        problem(raw("GET", path), 404)
        raw("POST", "/api/v1/subjects", json=[{"key": "acme/eu"}])
        assert raw("GET", f"{path}/entitlements").json() == []


class TestPaths:
    def test_what_is_not_there(self, raw: Raw) -> None:
        problem(raw("GET", "/api/v1/plans"), 404)
        problem(raw("GET", ""), 404)
        problem(raw("DELETE", EVENTS), 405)

    def test_a_plan_stands_in_for_an_entitlement(self, server: Server) -> None:
        wanted = {"name": "reader", "role": "namespace", "namespace": "unsiloed"}
        raw = Raw(server, "unsiloed", server.admin("POST", "/v1/operator-keys", wanted).json()["key"])
        meter = raw("GET", "/api/v1/meters").json()[0]["slug"]
        organization = server.organization(
            "unsiloed", {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {meter: 10}}
        )
        raw("POST", "/api/v1/customers", json={"name": "A", "key": organization})
        value = raw("GET", f"/api/v1/customers/{organization}/entitlements/{meter}/value").json()
        assert value["hasAccess"] is True
        assert value["balance"] == 10
        server.subscribe(organization, {"plan": None, "anchor": "2026-03-01", "interval": "P1M", "limits": {meter: 0}})
        value = raw("GET", f"/api/v1/customers/{organization}/entitlements/{meter}/value").json()
        assert (value["hasAccess"], value["balance"], value["overage"]) == (False, 0, 0)
        other = Raw(server, "plans", namespace_key(server, "plans"))
        other("POST", "/api/v1/meters", json={**TOKENS, "slug": meter})
        other("POST", "/api/v1/customers", json={"name": "A", "key": organization})
        value = other("GET", f"/api/v1/customers/{organization}/entitlements/{meter}/value").json()
        assert value == {"hasAccess": False}  # it is another namespace's organization


def test_at_the_root(tmp_path: Path) -> None:
    with serve(tmp_path, now=NOW, environment={"METERHOUSE_OPENMETER_AT_ROOT": "true"}) as server:
        raw = metered(Raw(server, "app", namespace_key(server, "app"), prefix=""))
        raw.send(event(tokens=1))
        assert [row["value"] for row in raw.rows()] == [1]
        assert Raw(server, "app", raw.key).rows() == raw.rows()
        assert server.admin("GET", "/v1/organizations").status_code == 200


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("shards"), now=NOW, arguments=("--shards", "3")) as server:
        yield server


def test_several_shards_are_one(shards: Server) -> None:
    raw = metered(Raw(shards, "app", namespace_key(shards, "app")))
    subjects = [f"s{n}" for n in range(9)]
    raw.send(*(event(each, f"2026-03-{n + 1:02}T00:00:00Z", tokens=n) for n, each in enumerate(subjects)))
    assert sum(row["value"] for row in raw.rows(groupBy="subject")) == 36
    assert raw("GET", "/api/v1/meters/tokens_total/subjects").json() == subjects
    listed = [each["event"]["subject"] for each in raw("GET", EVENTS).json()]
    assert listed == subjects[::-1]
    raw("POST", "/api/v1/features", json={"key": "tokens", "name": "Tokens", "meterSlug": "tokens_total"})
    customer = {"name": "A", "key": "a", "usageAttribution": {"subjectKeys": subjects[3:6]}}
    assert raw("POST", "/api/v1/customers", json=customer).status_code == 201
    entitlement = {
        "type": "metered",
        "featureKey": "tokens",
        "usagePeriod": {"interval": "MONTH", "anchor": "2026-01-01T00:00:00Z"},
        "measureUsageFrom": "CURRENT_PERIOD_START",
        "issueAfterReset": 100,
    }
    made = raw("POST", "/api/v2/customers/a/entitlements", json=entitlement)
    assert made.status_code == 201, made.text
    value = raw("GET", "/api/v1/customers/a/entitlements/tokens/value").json()
    assert (value["usage"], value["balance"]) == (12, 88)
    refused = raw.send(event("s1", tokens=1), {**event("s2"), "id": ""}, status=400)
    assert refused.json()["extensions"]["validationErrors"][0]["field"] == "[1]"


def test_what_a_shard_does_not_take_is_to_be_sent_again(shards: Server) -> None:
    raw = metered(Raw(shards, "killed", namespace_key(shards, "killed")))
    events = [event(f"s{n}", tokens=1) for n in range(12)]
    os.kill(shards.shards()[1], signal.SIGKILL)
    statuses = []
    for _ in range(100):
        with suppress(httpx.TransportError), httpx.Client(base_url=shards.http.base_url, trust_env=False) as http:
            headers = {"authorization": f"Bearer {raw.key}"}
            sent = http.post(f"/openmeter{EVENTS}", json=events, headers=headers, timeout=30)
            statuses.append((sent.status_code, sent.headers.get("retry-after")))
            if sent.status_code == 204:
                break
        time.sleep(0.1)
    assert statuses[-1] == (204, None)
    assert {*statuses[:-1]} == {(503, "1")}
    assert sum(row["value"] for row in raw.rows()) == 12


def test_one_portal_token_ends_and_another_does_not(raw: Raw) -> None:
    first, other = (raw("POST", "/api/v1/portal/tokens", json={"subject": "a"}).json() for _ in range(2))
    assert raw("POST", "/api/v1/portal/tokens/invalidate", json={"id": first["id"]}).status_code == 204
    for token, status in ((first, 401), (other, 200)):
        asked = Raw(raw.server, raw.namespace, token["token"])("GET", "/api/v1/portal/meters/tokens_total/query")
        assert asked.status_code == status


def test_a_portal_token_is_good_for_an_hour(tmp_path: Path) -> None:
    key = token = ""
    for now, status in ((NOW, 200), ("2026-03-15T12:59:59Z", 200), ("2026-03-15T13:00:00Z", 401)):
        with serve(tmp_path, now=now) as server:
            if not token:
                raw = metered(Raw(server, "app", namespace_key(server, "app")))
                key, token = raw.key, raw("POST", "/api/v1/portal/tokens", json={"subject": "a"}).json()["token"]
            assert Raw(server, "app", token)("GET", "/api/v1/portal/meters/tokens_total/query").status_code == status
            listed = Raw(server, "app", key)("GET", "/api/v1/portal/tokens").json()
            assert len(listed) == (1 if status == 200 else 0)

"""OpenAI's organization usage and costs, by the official client and as a plain request, against a slow sum."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import httpx
import openai
import pytest

from support.openmeter_clients import namespace_key
from support.server import ADMIN_KEY, Server, event, serve

_numbers = count(1)
NOW = "2026-03-15T12:00:00Z"
START = datetime(2026, 3, 10, tzinfo=UTC)
DAY = timedelta(days=1)
PRICED = """
namespace = "priced"

[[meters]]
slug = "input"
event_type = "llm.usage"
aggregation = "SUM"
value = "input_tokens"
group_by = ["model"]

[[meters]]
slug = "output"
event_type = "llm.usage"
aggregation = "SUM"
value = "output_tokens"

[[prices]]
meter = "input"
currency = "USD"
type = "per_unit"
price = "0.0001"

[[prices]]
meter = "output"
currency = "USD"
type = "per_unit"
price = "0.002"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("openai"), now=NOW) as running:
        yield running


@pytest.fixture
def namespace(server: Server) -> tuple[str, str]:
    name = f"llm{next(_numbers)}"
    return name, namespace_key(server, name)


@pytest.fixture
def client(server: Server, namespace: tuple[str, str]) -> Iterator[openai.OpenAI]:
    with client_of(server, namespace[1]) as made:
        yield made


def client_of(server: Server, key: str) -> openai.OpenAI:
    return openai.OpenAI(
        api_key="unused",
        admin_api_key=key,
        base_url=f"http://127.0.0.1:{server.port}/openai/v1",
        max_retries=0,
        http_client=httpx.Client(trust_env=False),
    )


def used(organization: str, at: datetime, /, **data: Any) -> dict[str, Any]:
    return event("llm.usage", organization, data, at=at.isoformat())


def seconds(at: datetime) -> int:
    return int(at.timestamp())


EVENTS = [
    used("acme", START + timedelta(hours=1), model="small", input_tokens=1000, output_tokens=500, cached_tokens=800),
    used("acme", START + timedelta(hours=2), model="large", input_tokens=10, output_tokens=5, user_id="u1", batch=True),
    used("globex", START + DAY, model="small", input_tokens=7, output_tokens=3, service_tier="flex"),
    used("globex", START + DAY, model="embed", input_tokens=99, operation="embeddings"),
    used("acme", START + 3 * DAY - timedelta(microseconds=1), model="small", input_tokens="0.5", output_tokens=1),
]


@pytest.fixture
def sent(server: Server, namespace: tuple[str, str]) -> None:
    server.send(namespace[0], [{**each, "id": f"{each['id']}-{namespace[0]}"} for each in EVENTS])


@pytest.mark.usefixtures("sent")
class TestCompletions:
    def test_days(self, client: openai.OpenAI) -> None:
        page = client.admin.organization.usage.completions(start_time=seconds(START), end_time=seconds(START + 3 * DAY))
        assert [(each.start_time, each.end_time) for each in page.data] == [
            (seconds(START + n * DAY), seconds(START + (n + 1) * DAY)) for n in range(3)
        ]
        first, second, third = (each.results for each in page.data)
        assert [type(each).__name__ for each in first] == ["DataResultOrganizationUsageCompletionsResult"]
        [whole] = first
        assert (whole.input_tokens, whole.output_tokens, whole.input_cached_tokens) == (1010, 505, 800)
        assert (whole.num_model_requests, whole.project_id, whole.model, whole.batch) == (2, None, None, None)
        assert [(each.input_tokens, each.num_model_requests) for each in second] == [(7, 1)]
        assert [each.num_model_requests for each in third] == [1]
        assert (page.has_more, page.next_page) == (False, None)

    def test_groups_and_filters(self, client: openai.OpenAI) -> None:
        usage = client.admin.organization.usage
        page = usage.completions(start_time=seconds(START), group_by=["project_id", "model", "batch"], limit=2)
        found = [
            (each.project_id, each.model, each.batch, each.input_tokens)
            for bucket in page.data
            for each in bucket.results
        ]
        assert found == [
            ("acme", "large", True, 10),
            ("acme", "small", None, 1000),
            ("globex", "small", None, 7),
        ]
        assert page.has_more
        rest = usage.completions(start_time=seconds(START), group_by=["model"], page=page.next_page or "")
        assert rest.data[0].start_time == seconds(START + 2 * DAY)

        def total(**asked: Any) -> int:
            answered = usage.completions(start_time=seconds(START), **asked)
            return sum(each.num_model_requests for bucket in answered.data for each in bucket.results)

        assert total() == 4
        assert total(project_ids=["globex"]) == 1
        assert total(models=["large", "small"]) == 4
        assert total(user_ids=["u1"]) == 1
        assert total(batch=True) == 1
        assert total(batch=False) == 3

    def test_hours_and_minutes(self, client: openai.OpenAI) -> None:
        usage = client.admin.organization.usage
        start = START + timedelta(minutes=30)
        page = usage.completions(start_time=seconds(start), bucket_width="1h", limit=2)
        assert [(each.start_time, each.end_time) for each in page.data] == [
            (seconds(start), seconds(START + timedelta(hours=1))),
            (seconds(START + timedelta(hours=1)), seconds(START + timedelta(hours=2))),
        ]
        assert [len(each.results) for each in page.data] == [0, 1]
        page = usage.completions(start_time=seconds(START + timedelta(hours=1)), bucket_width="1m", limit=1)
        assert page.data[0].results[0].input_tokens == 1000

    def test_embeddings_are_told_apart(self, client: openai.OpenAI) -> None:
        page = client.admin.organization.usage.embeddings(start_time=seconds(START), group_by=["model"])
        found = [(each.model, each.input_tokens) for bucket in page.data for each in bucket.results]
        assert found == [("embed", 99)]

    def test_digits_are_kept(self, server: Server, namespace: tuple[str, str]) -> None:
        name, key = namespace
        server.send(name, [used("acme", START, input_tokens="12345678901234567890.5", output_tokens=0)])
        answer = server.http.get(
            "/openai/v1/organization/usage/completions",
            params={"start_time": seconds(START), "end_time": seconds(START + timedelta(minutes=1))},
            headers={"authorization": f"Bearer {key}"},
        )
        assert '"input_tokens":12345678901234567890.5' in answer.text

    def test_lists_may_be_written_without_brackets(self, server: Server, namespace: tuple[str, str]) -> None:
        answer = server.http.get(
            "/openai/v1/organization/usage/completions?start_time=1773100800&group_by=model&group_by=project_id",
            headers={"authorization": f"Bearer {namespace[1]}"},
        )
        assert {each["model"] for bucket in answer.json()["data"] for each in bucket["results"]} == {"small", "large"}


OTHERS = {
    "moderations": ("llm.moderation", {"input_tokens": 5}, {"input_tokens": 5, "num_model_requests": 1}),
    "images": ("llm.image", {"images": 2, "size": "1024"}, {"images": 2, "num_model_requests": 1}),
    "audio_speeches": ("llm.speech", {"characters": 7}, {"characters": 7, "num_model_requests": 1}),
    "audio_transcriptions": ("llm.transcription", {"seconds": 9}, {"seconds": 9, "num_model_requests": 1}),
    "vector_stores": ("llm.vector_store", {"usage_bytes": 11}, {"usage_bytes": 11}),
    "code_interpreter_sessions": ("llm.code_interpreter", {}, {"num_sessions": 1}),
    "file_search_calls": ("llm.file_search", {}, {"num_requests": 1}),
    "web_search_calls": ("llm.web_search", {"model_requests": 3}, {"num_requests": 1, "num_model_requests": 3}),
}


@pytest.mark.parametrize("kind", OTHERS)
def test_other_kinds(server: Server, namespace: tuple[str, str], client: openai.OpenAI, kind: str) -> None:
    event_type, data, expected = OTHERS[kind]
    server.send(namespace[0], [{**used("acme", START, **data), "type": event_type}])
    page = getattr(client.admin.organization.usage, kind)(start_time=seconds(START), limit=1)
    [result] = page.data[0].results
    assert result.object.startswith("organization.usage.")
    assert "DataResult" in type(result).__name__
    assert {name: getattr(result, name) for name in expected} == expected


@pytest.fixture(scope="module")
def key(server: Server) -> str:
    made = server.admin(
        "PUT",
        "/v1/namespaces/priced/catalog",
        content=PRICED.encode(),
        headers={"content-type": "application/toml"},
    )
    assert made.status_code == 200, made.text
    wanted = {"name": "priced", "role": "namespace", "namespace": "priced"}
    key: str = server.admin("POST", "/v1/operator-keys", wanted).json()["key"]
    server.send("priced", EVENTS[:3])
    return key


class TestCosts:
    def test_days(self, server: Server, key: str) -> None:
        with client_of(server, key) as client:
            costs = client.admin.organization.costs if hasattr(client.admin.organization, "costs") else None
            answered = (costs or client.admin.organization.usage.costs)(start_time=seconds(START), limit=2)
        [[first], [second]] = [each.results for each in answered.data]
        assert first.object == "organization.costs.result"
        assert (first.amount.value, first.amount.currency) == (1.111, "usd")
        assert second.amount.value == 0.0067
        assert answered.has_more

    def test_by_line_item_and_project(self, server: Server, key: str) -> None:
        def told(**asked: Any) -> list[tuple[str, str, str]]:
            answer = server.http.get(
                "/openai/v1/organization/costs",
                params={"start_time": seconds(START), "limit": 2, **asked},
                headers={"authorization": f"Bearer {key}"},
            )
            found = json.loads(answer.text, parse_float=Decimal)["data"]
            return [
                (each["line_item"], each["project_id"], str(each["amount"]["value"]))
                for bucket in found
                for each in bucket["results"]
            ]

        assert told(group_by=["line_item"]) == [
            ("input", None, "0.101"),
            ("output", None, "1.01"),
            ("input", None, "0.0007"),
            ("output", None, "0.006"),
        ]
        assert told(group_by=["project_id"]) == [(None, "acme", "1.111"), (None, "globex", "0.0067")]
        assert told(project_ids="globex") == [(None, "globex", "0.0067")]


class TestRefusals:
    @pytest.mark.parametrize(
        ("asked", "param"),
        [
            ({}, "start_time"),
            ({"start_time": "soon"}, "start_time"),
            ({"start_time": "99999999999"}, "start_time"),
            ({"start_time": "1773100800", "end_time": "1773100800"}, "end_time"),
            ({"start_time": "1773100800", "bucket_width": "1w"}, "bucket_width"),
            ({"start_time": "1773100800", "limit": "32"}, "limit"),
            ({"start_time": "1773100800", "limit": "0"}, "limit"),
            ({"start_time": "1773100800", "limit": "00000000199999999"}, "limit"),
            ({"start_time": "1773100800", "group_by": "colour"}, "group_by"),
            ({"start_time": "1773100800", "batch": "maybe"}, "batch"),
            ({"start_time": "1773100800", "page": "page_2"}, "page"),
        ],
    )
    def test_what_cannot_be_asked(
        self, server: Server, namespace: tuple[str, str], asked: dict[str, str], param: str
    ) -> None:
        answer = server.http.get(
            "/openai/v1/organization/usage/completions",
            params=asked,
            headers={"authorization": f"Bearer {namespace[1]}"},
        )
        assert answer.status_code == 400
        error = answer.json()["error"]
        assert (error["type"], error["param"]) == ("invalid_request_error", param)
        assert error["message"].startswith(param)

    def test_a_wrong_key(self, server: Server) -> None:
        with client_of(server, "wrong") as client, pytest.raises(openai.AuthenticationError) as refused:
            client.admin.organization.usage.completions(start_time=0)
        assert refused.value.code == "invalid_api_key"
        with client_of(server, ADMIN_KEY) as client, pytest.raises(openai.PermissionDeniedError):
            client.admin.organization.usage.completions(start_time=0)


def test_an_organizations_own_key_sees_its_own(server: Server, namespace: tuple[str, str]) -> None:
    name, _ = namespace
    acme, globex = (server.organization(name) for _ in range(2))
    server.send(
        name,
        [
            used(acme, START, input_tokens=1, output_tokens=1, project_id="p1"),
            used(acme, START, input_tokens=2, output_tokens=1, project_id="p2"),
            used(globex, START, input_tokens=4, output_tokens=1, project_id="p1"),
        ],
    )
    with client_of(server, server.key(acme)) as client:
        page = client.admin.organization.usage.completions(start_time=seconds(START), group_by=["project_id"], limit=1)
        found = [(each.project_id, each.input_tokens) for each in page.data[0].results]
        assert found == [("p1", 1), ("p2", 2)]
        of_other = client.admin.organization.usage.completions(start_time=seconds(START), project_ids=[globex], limit=1)
        assert of_other.data[0].results == []


def test_an_organizations_own_key_sees_its_own_costs(server: Server, namespace: tuple[str, str]) -> None:
    name, _ = namespace
    put = server.admin(
        "PUT",
        f"/v1/namespaces/{name}/catalog",
        content=PRICED.replace('"priced"', f'"{name}"').encode(),
        headers={"content-type": "application/toml"},
    )
    assert put.status_code == 200, put.text
    acme, globex = (server.organization(name) for _ in range(2))
    server.send(
        name, [used(acme, START, input_tokens=1, output_tokens=1), used(globex, START, input_tokens=4, output_tokens=4)]
    )
    headers = {"authorization": f"Bearer {server.key(acme)}"}
    asked = {"start_time": str(seconds(START)), "limit": "1"}
    answer = server.http.get("/openai/v1/organization/costs", params=asked, headers=headers)
    [[found]] = [each["results"] for each in answer.json()["data"]]
    assert found["amount"] == {"value": 0.0021, "currency": "usd"}
    by_project = server.http.get(
        "/openai/v1/organization/costs", params={**asked, "project_ids": globex}, headers=headers
    )
    assert by_project.status_code == 400

"""Anthropic's usage and cost reports, by the official client, which has no methods for them, and as plain requests."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any

import anthropic
import httpx2
import pytest

from support.openmeter_clients import namespace_key
from support.server import Server, event, serve

_numbers = count(1)
NOW = "2026-03-15T12:00:00Z"
USAGE = "/v1/organizations/usage_report/messages"
COSTS = "/v1/organizations/cost_report"
PRICED = """
namespace = "priced"

[[meters]]
slug = "tokens"
event_type = "llm.usage"
aggregation = "SUM"
value = "output_tokens"

[[prices]]
meter = "tokens"
currency = "USD"
type = "per_unit"
price = "0.00015"
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("anthropic"), now=NOW) as running:
        yield running


def client_of(server: Server, key: str) -> anthropic.Anthropic:
    return anthropic.Anthropic(
        api_key=key,
        base_url=f"http://127.0.0.1:{server.port}/anthropic",
        max_retries=0,
        http_client=httpx2.Client(trust_env=False),
    )


def used(organization: str, at: str, /, **data: Any) -> dict[str, Any]:
    return event("llm.usage", organization, data, at=at)


EVENTS = [
    used(
        "acme",
        "2026-03-10T05:00:00Z",
        model="opus",
        input_tokens=3200,
        output_tokens=500,
        cached_tokens=200,
        cache_write_tokens=1500,
        cache_write_1h_tokens=1000,
        web_searches=10,
    ),
    used("globex", "2026-03-10T23:59:59Z", model="haiku", input_tokens=5, output_tokens=1),
    used("acme", "2026-03-11T00:00:00Z", model="haiku", input_tokens=7, output_tokens=2, service_tier="batch"),
]


@pytest.fixture
def key(server: Server) -> str:
    name = f"reports{next(_numbers)}"
    made = namespace_key(server, name)
    server.send(name, EVENTS)
    return made


def report(server: Server, key: str, path: str, **asked: Any) -> Any:
    with client_of(server, key) as client:
        return client.get(path, cast_to=object, options={"params": asked})


class TestUsage:
    def test_the_shape(self, server: Server, key: str) -> None:
        told = report(server, key, USAGE, starting_at="2026-03-10T00:00:00Z", ending_at="2026-03-11T00:00:00Z")
        expected = {
            "uncached_input_tokens": 1505,
            "cache_creation": {"ephemeral_1h_input_tokens": 1000, "ephemeral_5m_input_tokens": 500},
            "cache_read_input_tokens": 200,
            "output_tokens": 501,
            "server_tool_use": {"web_search_requests": 10},
            **dict.fromkeys(
                [
                    "api_key_id",
                    "workspace_id",
                    "model",
                    "service_tier",
                    "context_window",
                    "inference_geo",
                    "account_id",
                    "service_account_id",
                    "speed",
                ]
            ),
        }
        assert told == {
            "data": [
                {"starting_at": "2026-03-10T00:00:00Z", "ending_at": "2026-03-11T00:00:00Z", "results": [expected]}
            ],
            "has_more": False,
            "next_page": None,
        }

    def test_groups_filters_and_pages(self, server: Server, key: str) -> None:
        asked = {"starting_at": "2026-03-10T00:00:00Z", "limit": 1}
        told = report(server, key, USAGE, **asked, group_by=["model", "workspace_id"])
        found = [
            (each["model"], each["workspace_id"], each["output_tokens"])
            for bucket in told["data"]
            for each in bucket["results"]
        ]
        assert found == [("haiku", "globex", 1), ("opus", "acme", 500)]
        assert told["has_more"]
        told = report(server, key, USAGE, **asked, page=told["next_page"], **{"models[]": ["haiku"]})
        assert [each["output_tokens"] for each in told["data"][0]["results"]] == [2]
        told = report(server, key, USAGE, **asked, **{"workspace_ids[]": "globex"})
        assert [each["output_tokens"] for each in told["data"][0]["results"]] == [1]

    def test_buckets_are_whole(self, server: Server, key: str) -> None:
        told = report(
            server,
            key,
            USAGE,
            starting_at="2026-03-10T05:45:00+00:00",
            ending_at="2026-03-10T06:30:00Z",
            bucket_width="1h",
        )
        assert [(each["starting_at"], len(each["results"])) for each in told["data"]] == [
            ("2026-03-10T05:00:00Z", 1),
            ("2026-03-10T06:00:00Z", 0),
        ]

    @pytest.mark.parametrize("name", ["x-api-key", "authorization"])
    def test_either_header(self, server: Server, key: str, name: str) -> None:
        headers = {name: key if name == "x-api-key" else f"Bearer {key}", "anthropic-version": "2023-06-01"}
        answer = server.http.get("/anthropic" + USAGE, params={"starting_at": "2026-03-10T00:00:00Z"}, headers=headers)
        assert answer.status_code == 200


class TestCosts:
    def test_amounts_are_texts_of_cents(self, server: Server) -> None:
        made = server.admin(
            "PUT",
            "/v1/namespaces/priced/catalog",
            content=PRICED.encode(),
            headers={"content-type": "application/toml"},
        )
        assert made.status_code == 200, made.text
        wanted = {"name": "priced", "role": "namespace", "namespace": "priced"}
        key = server.admin("POST", "/v1/operator-keys", wanted).json()["key"]
        server.send("priced", EVENTS)
        told = report(server, key, COSTS, starting_at="2026-03-10T00:00:00Z", limit=2, group_by=["workspace_id"])
        found = [
            (bucket["starting_at"][:10], each["workspace_id"], each["amount"], each["currency"])
            for bucket in told["data"]
            for each in bucket["results"]
        ]
        assert found == [
            ("2026-03-10", "acme", "7.5", "USD"),
            ("2026-03-10", "globex", "0.015", "USD"),
            ("2026-03-11", "acme", "0.03", "USD"),
        ]


class TestRefusals:
    @pytest.mark.parametrize(
        "asked",
        [
            {},
            {"starting_at": "soon"},
            {"starting_at": "2026-03-10T00:00:00Z", "ending_at": "2026-03-09T00:00:00Z"},
            {"starting_at": "2026-03-10T00:00:00Z", "bucket_width": "1w"},
            {"starting_at": "2026-03-10T00:00:00Z", "limit": 32},
            {"starting_at": "2026-03-10T00:00:00Z", "group_by": "colour"},
        ],
    )
    def test_what_cannot_be_asked(self, server: Server, key: str, asked: dict[str, Any]) -> None:
        with pytest.raises(anthropic.BadRequestError) as refused:
            report(server, key, USAGE, **asked)
        assert isinstance(refused.value.body, dict)
        assert refused.value.body["error"]["type"] == "invalid_request_error"

    def test_a_wrong_key(self, server: Server) -> None:
        with pytest.raises(anthropic.AuthenticationError) as refused:
            report(server, "wrong", USAGE, starting_at="2026-03-10T00:00:00Z")
        assert isinstance(refused.value.body, dict)
        assert refused.value.body["error"]["type"] == "authentication_error"

    def test_no_such_report(self, server: Server, key: str) -> None:
        with pytest.raises(anthropic.NotFoundError):
            report(server, key, "/v1/organizations/other")

"""Organizations with very many models and languages: the top of them is taken in the engine, lists are bounded."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from support.server import Server, event, serve

MODELS = 12_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("groups") / "data", now="2026-03-15T12:00:00Z") as running:
        yield running


@pytest.mark.thorough
def test_the_top_models_of_very_many(server: Server) -> None:
    org = server.organization("aitronos", created_at="2026-01-01T00:00:00Z")
    headers = {"x-api-key": server.key(org)}
    path = f"/v1/analytics/usage/summary/{org}"
    for start in range(0, MODELS, 4000):
        requests = [
            {"model": f"model-{number:06}", "neurons": 1, "synapses": 1, "cost": number % 6000}
            for number in range(start, start + 4000)
        ]
        server.send("aitronos", [event("ai.request", org, data, at="2026-02-01T00:00:00Z") for data in requests])
    for more in range(2):  # from the events, and from rollups
        began = time.monotonic()
        body = server.http.get(path, headers=headers).json()
        assert time.monotonic() - began < 3
        assert (body["totalRequests"], body["totalCost"]) == (MODELS + more, 2 * sum(range(6000)))
        assert [(each["model"], each["cost"], each["requests"]) for each in body["topModels"]] == [
            ("model-005999", 5999, 1),
            ("model-011999", 5999, 1),
            ("model-005998", 5998, 1),
            ("model-011998", 5998, 1),
            ("model-005997", 5997, 1),
        ]
        nothing = {"model": "model-000000", "neurons": 0, "synapses": 0, "cost": 0}
        server.send("aitronos", [event("ai.request", org, nothing, at="2026-02-01T00:00:00Z")])
        server.folded()


def test_more_groups_than_an_answer_lists_are_refused_in_the_contracts_words(server: Server) -> None:
    posts, lines = server.organization("autoposting"), server.organization("onepin")
    for start in range(0, MODELS, 4000):
        numbers = range(start, start + 4000)
        use = [{"model": f"m-{number}", "input_tokens": 1, "output_tokens": 1} for number in numbers]
        server.send("autoposting", [event("ai.usage", posts, data, at="2026-03-15T12:00:00Z") for data in use])
        said = [{"run_id": "r", "user_id": "u", "characters": 1, "credits": 1, "locale": f"l-{n}"} for n in numbers]
        server.send("onepin", [event("line.generated", lines, data, at="2026-03-10T12:00:00Z") for data in said])
    key = {"x-api-key": server.key(posts)}
    refused = server.http.get("/usage/summary", headers={**key, "x-source": "sdk"})
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_request")
    assert "more than 10,000 groups" in refused.json()["message"]
    assert server.http.get("/usage/summary", headers=key).json()["data"]["aiTokens"]["used"] == 2 * MODELS
    workspace = {"authorization": f"Bearer {server.key(lines, user_id='u')}"}
    for _ in range(2):
        refused = server.http.get("/api/v1/usage/by-language", headers=workspace)
        [detail] = refused.json()["error"]["details"]
        assert (refused.status_code, detail["field"]) == (422, "range")
        assert "more than 10,000 groups" in detail["message"]
        server.folded()
    assert server.http.get("/api/v1/usage/summary", headers=workspace).json()["data"]["lines"]["total"] == MODELS

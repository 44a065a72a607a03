"""The organization is part of an event's identity: ids that are unique per customer only count for every customer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest

from support.http_catalog import CATALOG
from support.server import Server, event, serve

WHY = {"actor": "ada@example.com", "reason": "sent twice by hand"}
SOURCE = "billing/api"


@pytest.fixture(scope="module")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("acme")
    (folder / "acme.toml").write_text(CATALOG)
    with serve(
        folder / "data", now="2026-03-15T12:00:00Z", arguments=("--catalog", str(folder / "acme.toml"))
    ) as server:
        yield server


@pytest.fixture
def two(acme: Server) -> tuple[str, str]:
    """Two organizations that have sent an event of the same source and id."""
    return acme.organization("acme"), acme.organization("acme")


def call(org: str, event_id: str, tokens: int = 1) -> dict[str, Any]:
    data = {"input": tokens, "output": 0, "latency_ms": 5, "user": {"id": "u"}}
    return event("call", org, data, id=event_id, source=SOURCE, at="2026-03-02T00:00:00Z")


def counts(report: dict[str, Any]) -> tuple[int, ...]:
    return tuple(report[outcome] for outcome in ("ingested", "duplicates", "conflicts", "rejected"))


def tokens(acme: Server, org: str) -> Any:
    return acme.usage(org)["meters"]["tokens"]["used"]


def story(acme: Server, event_id: str, **query: str) -> Any:
    return acme.admin("GET", f"/v1/namespaces/acme/events/{quote(SOURCE, safe='')}/{event_id}", params=query)


def test_one_id_counts_once_for_each_organization(acme: Server, two: tuple[str, str]) -> None:
    one, other = two
    both = [call(one, "1", 2), call(other, "1", 3)]
    assert counts(acme.send("acme", both)) == (2, 0, 0, 0)
    assert counts(acme.send("acme", both)) == (0, 2, 0, 0)
    assert counts(acme.send("acme", [call(one, "1", 4), call(other, "1", 3)])) == (0, 1, 1, 0)
    assert (tokens(acme, one), tokens(acme, other)) == (2, 3)


def test_a_key_cannot_take_the_ids_of_others(acme: Server, two: tuple[str, str]) -> None:
    one, other = two
    key = acme.key(one, scopes=["events:write"])
    sent = acme.http.post("/v1/events", json=call(one, "taken", 9), headers={"authorization": f"Bearer {key}"})
    assert counts(sent.json()) == (1, 0, 0, 0)
    assert counts(acme.send("acme", [call(other, "taken", 5)])) == (1, 0, 0, 0)
    assert (tokens(acme, one), tokens(acme, other)) == (9, 5)


def test_a_story_names_the_organization_where_several_have_the_event(acme: Server, two: tuple[str, str]) -> None:
    one, other = two
    acme.send("acme", [call(one, "alone", 2), call(one, "shared", 3), call(other, "shared", 4)])
    assert story(acme, "alone").json()["organization"] == one
    unclear = story(acme, "shared")
    assert unclear.status_code == 400
    assert all(text in unclear.json()["detail"] for text in ("organization: 2 organizations", one, other))
    assert story(acme, "shared", organization=other).json()["data"]["input"] == 4
    assert story(acme, "alone", organization=other).status_code == 404


def test_a_correction_names_the_organization_where_several_have_the_event(acme: Server, two: tuple[str, str]) -> None:
    one, other = two
    acme.send("acme", [call(one, "both", 3), call(other, "both", 4)])

    def correct(body: dict[str, Any]) -> Any:
        return acme.admin("POST", "/v1/corrections", {**WHY, **body}, params={"namespace": "acme"})

    named = {"source": SOURCE, "id": "both"}
    unclear = correct({"void": [named]})
    assert unclear.status_code == 400
    assert "organization: 2 organizations" in unclear.json()["detail"]
    assert correct({"void": [{**named, "organization": "nobody"}]}).status_code == 404
    assert (tokens(acme, one), tokens(acme, other)) == (3, 4)
    done = correct({"void": [{**named, "organization": one}], "amend": [amended := {**named, "organization": other}]})
    assert done.status_code == 200, done.text
    assert [(step["action"], step["organization"]) for step in done.json()["steps"]] == [
        ("add", other),
        ("void", one),
        ("void", other),
    ]
    assert done.json()["steps"][2]["replaced_by"]["source"] == SOURCE
    assert (tokens(acme, one), tokens(acme, other)) == (0, 4)
    assert story(acme, "both", organization=one).json()["state"] == "voided"
    again = correct({"void": [amended]})
    assert "is voided" in again.json()["detail"]


def test_an_event_that_is_named_with_and_without_its_organization_is_named_twice(
    acme: Server, two: tuple[str, str]
) -> None:
    one, _ = two
    acme.send("acme", [call(one, "twice")])
    named = {"source": SOURCE, "id": "twice"}
    body = {**WHY, "void": [named, {**named, "organization": one}]}
    refused = acme.admin("POST", "/v1/corrections", body, params={"namespace": "acme"})
    assert (refused.status_code, refused.json()["detail"]) == (400, "an event is named twice")


def test_many_organizations_share_an_id(acme: Server) -> None:
    organizations = [f"shop-{number}" for number in range(300)]
    assert counts(acme.send("acme", [call(each, "order-1", 1) for each in organizations])) == (300, 0, 0, 0)
    assert counts(acme.send("acme", [call(each, "order-1", 1) for each in organizations])) == (0, 300, 0, 0)
    assert "300 organizations" in story(acme, "order-1").json()["detail"]
    assert story(acme, "order-1", organization="shop-299").json()["organization"] == "shop-299"

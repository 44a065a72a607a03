"""Events of Meterhouse's own: nobody can take their identities, and one that is not stored is an error, no receipt."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest

from meterhouse.domain.event import Event
from meterhouse.domain.period import parse_instant
from meterhouse.services.ingest import Ingest
from meterhouse.settings import Settings
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from meterhouse.wiring import open_meterhouse
from support.asgi import Client, client_of
from support.server import ADMIN_KEY, Server, event

AT = "2026-03-01T00:00:00Z"
ERASURE = {"id": "e1", "property": "user", "value": "ada", "actor": "a", "reason": "r"}
ADMIN = {"authorization": f"Bearer {ADMIN_KEY}"}


@pytest.mark.parametrize(
    "source", ["meterhouse/erasures", "meterhouse/corrections", "meterhouse.removals", "meterhouse/"]
)
@pytest.mark.parametrize("as_operator", [True, False])
def test_nobody_writes_events_with_a_source_of_our_own(server: Server, source: str, as_operator: bool) -> None:
    org = server.organization("unsiloed")
    key = ADMIN_KEY if as_operator else server.key(org, scopes=["events:write"])
    forged = event("credit.used", org, {"amount": 1}, source=source, id=f"forged-{org}")
    headers = {"authorization": f"Bearer {key}"}
    answer = server.http.post("/v1/events?namespace=unsiloed", json=[forged], headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["code"]) == (422, "invalid_event")


class Opened:
    """A Meterhouse in this process, and its store, where events of an earlier version can be put."""

    def __init__(self, client: Client, ingest: Ingest):
        self.client = client
        self.ingest = ingest
        self.call("POST", "/v1/organizations", {"id": "acme", "name": "Acme", "namespace": "unsiloed"})

    def call(self, method: str, path: str, body: Any = None) -> httpx.Response:
        return self.client.request(method, path, json=body, headers=ADMIN)

    def send(self, **more: Any) -> None:
        sent = event("credit.used", "acme", {"amount": 1, "user": "ada"}, at=AT, **more)
        assert self.call("POST", "/v1/events?namespace=unsiloed", [sent]).json()["ingested"] == 1

    def forge(self, source: str, event_id: str) -> None:
        data = json.dumps({"amount": 1}).encode()
        forged = Event("unsiloed", source, event_id, "credit.used", "acme", parse_instant(AT), data, {"amount": 1})
        self.ingest.record([forged])


@pytest.fixture
def opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    made: list[Ingest] = []
    begin = Ingest.__init__

    def remember(ingest: Ingest, *arguments: Any, **more: Any) -> None:
        begin(ingest, *arguments, **more)
        made.append(ingest)

    monkeypatch.setattr(Ingest, "__init__", remember)
    settings = Settings(data=tmp_path / "data", admin_key=ADMIN_KEY)
    with open_meterhouse(settings) as meterhouse, client_of(meterhouse.app) as client:
        yield Opened(client, made[0])


def test_a_forged_receipt_is_none_and_an_erasure_without_one_is_an_error(opened: Opened) -> None:
    opened.send()
    opened.forge("meterhouse/erasures", "e1")
    assert opened.call("GET", "/v1/erasures/e1?namespace=unsiloed").status_code == 404
    answer = opened.call("POST", "/v1/erasures", {**ERASURE, "organization": "acme"})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_recorded")
    listed = opened.call("GET", "/v1/organizations/acme/events?meter=credits").text
    assert '"ada"' not in listed, "it erased all the same"


def test_a_correction_with_a_step_missing_is_an_error(opened: Opened) -> None:
    opened.send(id="one")
    opened.forge("meterhouse/corrections", "c1/0")
    void = {"id": "c1", "actor": "a", "reason": "r", "void": [{"source": "tests", "id": "one"}]}
    answer = opened.call("POST", "/v1/corrections?namespace=unsiloed", void)
    assert (answer.status_code, answer.json()["code"]) == (409, "not_recorded")
    assert "1 of 1" in answer.json()["detail"]
    assert opened.call("GET", "/v1/corrections/c1?namespace=unsiloed").status_code == 404


def test_an_event_that_was_taken_meanwhile_is_told(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    opened.send(id="one")
    other = event("credit.used", "acme", {"amount": 2}, at=AT, id="one")
    monkeypatch.setattr(ClickHouseEventStore, "find", lambda *_: [])
    answer = opened.call("POST", "/v1/corrections?namespace=unsiloed", {"actor": "a", "reason": "r", "add": [other]})
    assert (answer.status_code, answer.json()["code"]) == (409, "not_recorded")
    assert "'one'" in answer.json()["detail"]


@pytest.mark.parametrize("name", ["a/b", "/", "a\nb", "x" * 201, ""])
def test_an_id_that_could_not_be_looked_up_is_not_taken(opened: Opened, name: str) -> None:
    opened.send()
    added = {"id": name, "actor": "a", "reason": "r", "add": [event("credit.used", "acme", {"amount": 1})]}
    assert opened.call("POST", "/v1/corrections?namespace=unsiloed", added).status_code == 400
    erasure = {**ERASURE, "organization": "acme", "id": name}
    assert opened.call("POST", "/v1/erasures", erasure).status_code == 400


IDS = ["a/b", "%2F", ".", "..", " ", "?#&=+", "é", "\\", "x" * 512, "//", "\u3000", "👩\u200d💻", "\u2028", '"', "a~b"]


@pytest.mark.parametrize("event_id", IDS)
def test_an_id_that_is_taken_can_be_read_amended_and_undone(server: Server, event_id: str) -> None:
    org = server.organization("unsiloed")
    sent = event("credit.used", org, {"amount": 1}, at=AT, id=event_id, source=f"s {event_id}"[:512])
    assert server.send("unsiloed", [sent])["ingested"] == 1
    source, name = (quote(text, safe="").replace(".", "%2E") for text in (sent["source"], event_id))
    path = f"/v1/namespaces/unsiloed/events/{source}/{name}"
    story = server.admin("GET", path).json()
    assert (story["source"], story["id"]) == (sent["source"], event_id)
    amend = {"actor": "a", "reason": "r", "amend": [{"source": sent["source"], "id": event_id, "data": {"amount": 5}}]}
    made = server.admin("POST", "/v1/corrections?namespace=unsiloed", amend)
    assert made.status_code == 200, made.text
    assert server.usage(org)["meters"]["credits"]["used"] == 5
    [listed] = server.admin("GET", f"/v1/organizations/{org}/events?meter=credits").json()["events"]
    assert len(listed["id"]) <= 512
    undo = f"/v1/corrections/{made.json()['id']}/undo?namespace=unsiloed"
    assert server.admin("POST", undo, {"actor": "a", "reason": "r"}).status_code == 200
    assert server.usage(org)["meters"]["credits"]["used"] == 1


def test_a_source_of_slashes_alone_could_not_be_looked_up(server: Server) -> None:
    org = server.organization("unsiloed")
    report = server.send("unsiloed", [event("credit.used", org, {"amount": 1}, source="//", id="/")])
    assert "slashes" in report["errors"][0]["message"]

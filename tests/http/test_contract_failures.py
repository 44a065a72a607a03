"""What a contract answers when something of ours breaks, or when the path is right and the method is not."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from meterhouse.contracts import RESERVED, installed
from meterhouse.domain.meter import Measure, MeterQuery
from meterhouse.settings import Settings
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from meterhouse.storage.ledger.sql_ledger import SqlLedger
from meterhouse.wiring import open_meterhouse
from support.asgi import Client, client_of
from support.documents import NOT_ALLOWED
from support.server import Server

CONTRACTS = installed()
SECRET = "secret of the engine: /var/lib/password"
ADMIN = {"authorization": "Bearer an-admin-key-of-some-length"}


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A server whose engine fails every question."""

    def fail(_store: ClickHouseEventStore, _query: MeterQuery) -> list[Measure]:
        raise RuntimeError(SECRET)

    settings = Settings(data=tmp_path_factory.mktemp("broken"), admin_key="an-admin-key-of-some-length")
    with pytest.MonkeyPatch.context() as patch, open_meterhouse(settings) as meterhouse:
        patch.setattr(ClickHouseEventStore, "measure", fail)
        with client_of(meterhouse.app) as client:
            yield client


@pytest.mark.parametrize("name", CONTRACTS)
def test_a_failing_store_is_the_contracts_own_500_and_nothing_leaks(broken: Client, name: str) -> None:
    contract = CONTRACTS[name]
    organization = {"id": f"org-{name}", "name": "N", "namespace": name}
    assert broken.post("/v1/organizations", json=organization, headers=ADMIN).status_code == 201
    key = broken.post(f"/v1/organizations/org-{name}/keys", headers=ADMIN).json()["key"]
    headers = {"authorization": f"Bearer {key}", "x-api-key": key, "api-key": key}
    answer = broken.get(contract.routes[0].paths[0].format(org_id=f"org-{name}"), headers=headers)
    assert answer.status_code == 500
    assert "secret" not in answer.text
    assert answer.json().keys() in (
        {"success", "error", "message"},
        {"success", "error"},
        {"detail"},
        {"error", "meta"},
        {"error"},
    )


def test_our_own_500_is_a_problem_with_the_request_id(broken: Client) -> None:
    broken.post("/v1/organizations", json={"id": "own", "name": "N", "namespace": "onepin"}, headers=ADMIN)
    answer = broken.get("/v1/organizations/own/usage", headers=ADMIN)
    assert (answer.status_code, answer.json()["code"]) == (500, "internal_error")
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert "secret" not in answer.text


@pytest.mark.parametrize("name", CONTRACTS)
def test_another_method_is_refused_in_the_contracts_own_shape(server: Server, name: str) -> None:
    for path in CONTRACTS[name].routes[0].paths:
        answer = server.http.post(path.format(org_id="x"))
        assert answer.status_code == NOT_ALLOWED.get(name, (405, "GET"))[0]
        assert answer.headers["content-type"] == "application/json"
        assert "status_code" not in answer.json()


def test_every_path_of_our_own_is_reserved(server: Server) -> None:
    document = server.http.get("/openapi.json").json()
    pages = ["/docs", "/events", "/meters", "/organizations", "/portal/x", "/sign-in", "/sign-out", "/system"]
    ours = [*document["paths"], *pages, "/assets/x/x", "/openapi.json"]
    assert [path for path in ours if not path.startswith(RESERVED)] == []


def test_an_unknown_path_is_a_problem(server: Server) -> None:
    for path in ("/nowhere", "/nowhere/at/all"):
        answer = server.http.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, "not_found")


def test_the_root_is_the_dashboard(server: Server) -> None:
    answer = server.http.get("/")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=%2F")


def test_a_key_of_another_contract_is_as_good_as_none(server: Server) -> None:
    keys = {name: server.key(server.organization(name)) for name in CONTRACTS}
    for name, contract in CONTRACTS.items():
        path = contract.routes[0].paths[0].format(org_id="x")
        for other, key in keys.items():
            headers = {"authorization": f"Bearer {key}", "x-api-key": key, "api-key": key}
            status = server.http.get(path, headers=headers).status_code
            assert (status == 401) == (other != name), (name, other)


class TestProbes:
    def test_health_readiness_and_metrics_need_no_key(self, server: Server) -> None:
        assert server.http.get("/healthz").json() == {"status": "ok"}
        assert server.http.get("/readyz").json() == {"disk": "ok", "events": "ok", "ledger": "ok"}
        metrics = server.http.get("/metrics")
        assert metrics.headers["content-type"].startswith("text/plain")
        assert 'meterhouse_events_total{namespace="unsiloed",outcome="ingested"}' in metrics.text
        assert "org-" not in metrics.text
        server.http.request("INVENTED", "/healthz")
        assert "INVENTED" not in server.http.get("/metrics").text

    def test_not_ready_when_the_ledger_does_not_answer(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(_ledger: SqlLedger) -> None:
            raise OSError(SECRET)

        monkeypatch.setattr(SqlLedger, "ping", fail)
        settings = Settings(data=tmp_path, admin_key="an-admin-key-of-some-length")
        with open_meterhouse(settings, engine=False) as meterhouse, client_of(meterhouse.app) as client:
            answer = client.get("/readyz")
        assert (answer.status_code, answer.json()) == (503, {"ledger": "failing"})

    def test_docs_load_nothing_from_elsewhere(self, server: Server) -> None:
        page = server.http.get("/docs").text
        assert "/v1/organizations/{organization_id}/usage" in page
        assert not re.findall(r'(?:src|href)="[a-z]*:?//', page)
        assert all(
            source.startswith("/assets/") for source in re.findall(r'(?:src|href)="([^"#]*\.(?:js|css|svg))"', page)
        )
        assert "<script>" not in page

    @pytest.mark.parametrize("name", CONTRACTS)
    def test_each_contract_has_an_openapi_document(self, server: Server, name: str) -> None:
        document = server.http.get(f"/docs/contracts/{name}").json()
        assert document["openapi"] == "3.1.0"
        assert set(document["paths"]) == {path for route in CONTRACTS[name].routes for path in route.paths}
        assert '"format":"decimal"' not in str(document)

"""A cluster as its operator and its clients see it: joining, leaving, and what is refused."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.clusters import Cluster, cluster
from support.engines import RunningFront
from support.pages import visitor
from support.processes import run_meterhouse
from support.server import ADMIN_KEY, Server, event, free_port

SHARDS = 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, database_server: Any, clickhouse: RunningFront) -> Iterator[Cluster]:
    """Two nodes with a shard each."""
    urls = [f"{clickhouse.url}/nodes_{shard}" for shard in range(SHARDS)]
    with cluster(tmp_path_factory.mktemp("nodes"), database_server.database("nodes"), urls) as nodes:
        with ThreadPoolExecutor(2) as pool:
            [*pool.map(nodes.start, ("a", "b"))]
        yield nodes


@pytest.fixture(scope="module")
def organizations(made: Cluster) -> list[str]:
    return [made.nodes["a"].organization("unsiloed") for _ in range(8)]


def used(node: Server, organization: str) -> Decimal:
    return Decimal(node.usage(organization)["meters"]["credits"]["used"])


def refused(made: Cluster, folder: Path, **environment: str) -> str:
    """What a node says that cannot join."""
    own = {"METERHOUSE_NODE_PORT": str(free_port()), "PATH": "/usr/bin:/bin"}
    command = ["serve", "--data", str(folder), "--port", str(free_port())]
    run = run_meterhouse(*command, environment={**own, **made.settings(), **environment})
    assert run.returncode == 1, run
    return run.stderr.decode()


def test_any_node_answers_any_request(made: Cluster, organizations: list[str]) -> None:
    for number, organization in enumerate(organizations):
        node = made.nodes["ab"[number % 2]]
        assert node.send("unsiloed", [event("credit.used", organization, {"amount": "3"})])["ingested"] == 1
    for node in made.nodes.values():
        assert [used(node, organization) for organization in organizations] == [3] * len(organizations)
    many = [event("credit.used", organization, {"amount": "1"}) for organization in organizations * 5]
    assert made.nodes["b"].send("unsiloed", many)["ingested"] == len(many)
    for node in made.nodes.values():
        assert [used(node, organization) for organization in organizations] == [8] * len(organizations)


def test_ten_thousand_organizations_in_one_request(made: Cluster) -> None:
    many = [event("credit.used", f"many-{number}", {"amount": "1"}) for number in range(10_000)]
    before = made.nodes["b"].admin("GET", "/metrics")
    assert made.nodes["a"].send("unsiloed", many)["ingested"] == len(many)
    assert made.nodes["b"].send("unsiloed", many)["duplicates"] == len(many)
    assert before.status_code == 200


def test_the_page_of_the_system_shows_nodes_and_who_has_what(made: Cluster) -> None:
    with visitor(made.nodes["a"], ADMIN_KEY) as browser:
        page = browser.get("/system").text
    for name in ("a", "b"):
        assert page.count(made.names[name]) == 2, page  # as a node, and with its shard


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("METERHOUSE_RETENTION_DAYS", "unsiloed=30"),
        ("METERHOUSE_LEASE_SECONDS", "7"),
        ("METERHOUSE_ADMIN_KEY", "another-admin-key-0123456789"),
        ("METERHOUSE_UNSILOED_OVERAGE", "true"),
    ],
)
def test_a_node_with_other_settings_is_refused(made: Cluster, tmp_path: Path, variable: str, text: str) -> None:
    told = refused(made, tmp_path, **{variable: text})
    assert "cannot join the cluster" in told
    assert (variable in told) or ("options of contracts" in told)
    assert text not in told or variable != "METERHOUSE_ADMIN_KEY"


def test_a_node_of_another_cluster_is_refused(made: Cluster, clickhouse: RunningFront, tmp_path: Path) -> None:
    """Two clusters on one database."""
    told = refused(made, tmp_path, METERHOUSE_CLICKHOUSE_URLS=f"{clickhouse.url}/others_0 {clickhouse.url}/others_1")
    assert "METERHOUSE_CLICKHOUSE_URLS" in told


def test_a_node_with_another_number_of_shards_is_refused(
    made: Cluster, clickhouse: RunningFront, tmp_path: Path
) -> None:
    told = refused(made, tmp_path, METERHOUSE_CLICKHOUSE_URLS=f"{clickhouse.url}/nodes_0")
    assert "shards" in told


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"METERHOUSE_CLICKHOUSE_URLS": ""}, "METERHOUSE_CLICKHOUSE_URLS"),
        ({"METERHOUSE_CLICKHOUSE_URLS": "http://127.0.0.1:1/x http://127.0.0.1:1/x"}, "same database"),
        ({"METERHOUSE_CLICKHOUSE_URLS": "clickhouse://x"}, "must be like"),
        ({"METERHOUSE_CLUSTER_URL": "sqlite:///x"}, "METERHOUSE_CLUSTER_URL must be postgresql"),
        ({"METERHOUSE_CLUSTER_URL": "postgresql+psycopg://u:hunter2@127.0.0.1:1/x"}, "does not answer"),
        ({"METERHOUSE_SHARDS": "2"}, "METERHOUSE_SHARDS"),
    ],
)
def test_settings_that_make_no_node(made: Cluster, tmp_path: Path, changed: dict[str, str], expected: str) -> None:
    told = refused(made, tmp_path, **changed)
    assert expected in told
    assert "hunter2" not in told


def test_a_node_comes_and_goes_and_nobody_notices(made: Cluster, organizations: list[str]) -> None:
    before = [used(made.nodes["a"], organization) for organization in organizations]
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(made.start, "c")  # stands by, and answers nobody: there are two shards
        time.sleep(2)
        assert not starting.done()
        assert made.nodes["b"].stop() == 0
        starting.result()
    assert [used(made.nodes["a"], organization) for organization in organizations] == before
    organization = organizations[0]
    answers = [
        httpx.get(
            f"http://127.0.0.1:{made.nodes[name].port}/v1/organizations/{organization}/usage",
            headers={"authorization": f"Bearer {ADMIN_KEY}"},
            timeout=60,
            trust_env=False,
        ).json()["meters"]
        for name in ("a", "c")
    ]
    assert answers[0] == answers[1]


def restarted(made: Cluster, name: str) -> None:
    assert made.nodes[name].stop() == 0
    made.start(name)


@pytest.mark.thorough
def test_a_rolling_restart_loses_no_request_that_is_repeated_once(made: Cluster, organizations: list[str]) -> None:
    names = [name for name in made.nodes if made.nodes[name].process.poll() is None]
    over: list[bool] = []

    def once(method: Callable[[str], httpx.Response], turn: int) -> httpx.Response | None:
        """As a balancer sends it: to a node that takes connections. None when it breaks off."""
        for name in names[turn % len(names) :] + names[: turn % len(names)]:
            try:
                return method(f"http://127.0.0.1:{made.nodes[name].port}")
            except httpx.ConnectError:
                continue
            except httpx.TransportError:
                return None
        return None

    def ask(method: Callable[[str], httpx.Response]) -> int:
        asked = 0
        while not over:
            answer = once(method, asked)
            if answer is None or answer.status_code != 200:
                time.sleep(1)  # as Retry-After says
                answer = once(method, asked + 1)
            assert answer is not None
            assert answer.status_code == 200, answer.text
            asked += 1
        return asked

    headers = {"authorization": f"Bearer {ADMIN_KEY}"}

    def read(url: str) -> httpx.Response:
        path = f"/v1/organizations/{organizations[1]}/usage"
        return httpx.get(url + path, headers=headers, timeout=60, trust_env=False)

    def write(url: str) -> httpx.Response:
        events = [event("credit.used", each, {"amount": "0"}) for each in organizations]
        where = f"{url}/v1/events?namespace=unsiloed"
        return httpx.post(where, json=events, headers=headers, timeout=60, trust_env=False)

    with ThreadPoolExecutor(2) as pool:
        asking = [pool.submit(ask, method) for method in (read, write)]
        try:
            for name in names:
                restarted(made, name)
        finally:
            over.append(True)
        assert all(each.result() > 0 for each in asking)

"""Kill -9 while alerts are raised and delivered: nothing is lost, and nothing is raised twice."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from meterhouse.domain.shards import ShardMap
from support.depth import by_depth
from support.receivers import ReceiverProcess, eventually
from support.server import Server, event, serve

ANY = {"METERHOUSE_WEBHOOK_ADDRESSES": "any"}
ORGANIZATIONS = 40
THRESHOLDS = (10, 20, 30)


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[ReceiverProcess]:
    running = ReceiverProcess(tmp_path / "received")
    try:
        yield running
    finally:
        running.kill()


def prepare(server: Server, receiver: ReceiverProcess) -> list[str]:
    """Organizations whose use crosses three thresholds, which are told."""
    for threshold in THRESHOLDS:
        body = {"meter": "credits", "basis": "used", "threshold": threshold}
        assert server.admin("PUT", f"/v1/alert-rules/at-{threshold}?namespace=unsiloed", body).status_code == 201
    made = server.admin("PUT", "/v1/webhook-endpoints/e?namespace=unsiloed", {"url": receiver.url})
    assert made.status_code == 201
    return [server.organization("unsiloed") for _ in range(ORGANIZATIONS)]


def use(server: Server, organizations: list[str], threshold: int) -> None:
    """Brings everybody's use to a threshold. A server that dies meanwhile may not have heard it: it is said again."""
    batch = [
        event("credit.used", name, {"amount": 10}, id=f"{name}-{threshold}", at="2026-03-10T00:00:00Z")
        for name in organizations
    ]
    server.send("unsiloed", batch)


def check(server: Server, receiver: ReceiverProcess, organizations: list[str]) -> None:
    """Everybody's three thresholds were raised once, and reach the receiver, under one id each and in their order."""
    expected = {(name, threshold) for name in organizations for threshold in THRESHOLDS}

    def told() -> set[tuple[str, int]]:
        return {(each["data"]["organization"], each["data"]["threshold"]) for _, each in receiver.received()}

    eventually(lambda: told() == expected, 120)
    ids: dict[tuple[str, int], set[str]] = {}
    order: dict[str, list[int]] = {}
    for message_id, each in receiver.received():
        key = each["data"]["organization"], each["data"]["threshold"]
        ids.setdefault(key, set()).add(message_id)
        if key[1] not in order.setdefault(key[0], []):  # one that was repeated may have been on its way for long
            order[key[0]].append(key[1])
    assert {key: len(found) for key, found in ids.items()} == dict.fromkeys(expected, 1)
    assert order == {name: [*THRESHOLDS] for name in organizations}
    raised: Counter[tuple[str, int]] = Counter()
    query: dict[str, Any] = {"limit": 1000}
    while query.get("before", "") is not None:
        page = server.admin("GET", "/v1/alerts", params={"namespace": "unsiloed", **query}).json()
        raised.update((alert["organization"], alert["threshold"]) for alert in page["alerts"])
        query["before"] = page["next"]
    assert raised == dict.fromkeys(expected, 1)


@pytest.mark.parametrize("seed", range(by_depth(1, 4, 30)))
@pytest.mark.thorough
def test_a_server_that_is_killed_loses_nothing_and_raises_nothing_twice(
    tmp_path: Path, receiver: ReceiverProcess, seed: int
) -> None:
    random = Random(seed)
    organizations: list[str] = []
    for threshold in THRESHOLDS:
        with serve(tmp_path / "data", environment=ANY) as server:
            organizations = organizations or prepare(server, receiver)
            use(server, organizations, threshold)
            time.sleep(random.random() * 1.8)  # a round begins within a second, and deliveries follow
            server.kill()
    with serve(tmp_path / "data", environment=ANY) as server:
        check(server, receiver, organizations)


@pytest.mark.thorough
def test_a_receiver_that_is_killed_gets_everything(tmp_path: Path, receiver: ReceiverProcess) -> None:
    with serve(tmp_path / "data", environment=ANY) as server:
        organizations = prepare(server, receiver)
        for threshold in THRESHOLDS:
            use(server, organizations, threshold)
            before = len(receiver.received())
            eventually(lambda before=before: len(receiver.received()) >= before + 3)
            receiver.kill()
            receiver.start()
        check(server, receiver, organizations)


@pytest.mark.thorough
def test_with_two_shards_that_die_it_is_the_same(tmp_path: Path, receiver: ReceiverProcess) -> None:
    with serve(tmp_path / "data", arguments=("--shards", "2"), environment=ANY) as server:
        organizations = prepare(server, receiver)
        for number, threshold in enumerate(THRESHOLDS):
            eventually(lambda threshold=threshold: _used(server, organizations, threshold))
            time.sleep(0.7)
            shards = server.shards()
            os.kill(shards[number % len(shards)], signal.SIGKILL)
        eventually(lambda: _ready(server))
        check(server, receiver, organizations)
    assert {ShardMap.even(2).shard_of("unsiloed", name) for name in organizations} == {0, 1}


@pytest.mark.thorough
def test_with_two_shards_each_message_is_sent_by_one_process(tmp_path: Path, receiver: ReceiverProcess) -> None:
    with serve(tmp_path / "data", arguments=("--shards", "2"), environment=ANY) as server:
        organizations = prepare(server, receiver)
        for threshold in THRESHOLDS:
            use(server, organizations, threshold)
            # Two seconds of both processes looking for what to send, at least.
            time.sleep(2)
        check(server, receiver, organizations)
        assert len(receiver.received()) == len(organizations) * len(THRESHOLDS)
        text = server.http.get("/metrics").text
        raised = [line for line in text.splitlines() if line.startswith("meterhouse_alerts_raised_total{")]
        assert {line.partition('shard="')[2][0] for line in raised} == {"0", "1"}


def _used(server: Server, organizations: list[str], threshold: int) -> bool:
    """Whether everybody's use is stored; a shard that has just died takes nothing for a moment."""
    try:
        use(server, organizations, threshold)
    except (httpx.TransportError, AssertionError):
        return False
    report = server.admin("GET", f"/v1/organizations/{organizations[0]}/usage")
    return report.status_code == 200 and all(
        server.usage(name)["meters"]["credits"]["used"] == threshold for name in organizations
    )


def _ready(server: Server) -> bool:
    """Whether all shards answer."""
    try:
        return server.http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False

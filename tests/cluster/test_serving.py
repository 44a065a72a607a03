"""A server of several processes, as its clients and its operator see it."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from random import Random
from typing import Any

import httpx
import pytest

from meterhouse.domain.shards import ShardMap
from support.depth import by_depth
from support.pages import visitor
from support.server import ADMIN_KEY, Server, event, serve

SHARDS = 2
ENVIRONMENT = {"METERHOUSE_SHARDS": str(SHARDS), "METERHOUSE_LOG_LEVEL": "info"}
OF_SHARD = {
    shard: [f"org-{n}" for n in range(40) if ShardMap.even(SHARDS).shard_of("unsiloed", f"org-{n}") == shard]
    for shard in range(SHARDS)
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(tmp_path_factory.mktemp("shards") / "data", environment=ENVIRONMENT) as made:
        for organizations in OF_SHARD.values():
            for organization in organizations[:3]:
                made.organization("unsiloed", id=organization)
        yield made


def asked_anew(server: Server, method: str, path: str, key: str = ADMIN_KEY, **options: Any) -> httpx.Response:
    """A request on a connection of its own: whichever process the system gives it to."""
    headers = {"authorization": f"Bearer {key}"}
    url = f"http://127.0.0.1:{server.port}{path}"
    return httpx.request(method, url, headers=headers, timeout=60, trust_env=False, **options)


def some_events(number: int, amount: str = "1") -> list[dict[str, Any]]:
    """So many, in turns of both shards."""
    return [event("credit.used", OF_SHARD[n % SHARDS][n % 3], {"amount": amount}) for n in range(number)]


def ready(server: Server) -> None:
    for _ in range(400):
        try:
            if asked_anew(server, "GET", "/readyz").status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(server.printed())


def test_every_process_answers_for_all(server: Server) -> None:
    before = {each: server.usage(each)["meters"]["credits"]["used"] for each in OF_SHARD[0][:3] + OF_SHARD[1][:3]}
    report = server.send("unsiloed", some_events(12, "2.5"))
    assert report["ingested"] == 12
    assert len(report["position"].split(".")) == SHARDS
    for organization, used in before.items():
        for _ in range(6):
            answer = asked_anew(server, "GET", f"/v1/organizations/{organization}/usage").json()
            assert answer["meters"]["credits"]["used"] == used + 5
    query = f"/v1/query?namespace=unsiloed&meter=credits&range=30d&at_least={report['position']}"
    totals = {asked_anew(server, "GET", query).json()["meters"][0]["total"] for _ in range(6)}
    assert totals == {sum(before.values()) + 30}


def test_what_the_ledger_is_told_counts_for_every_process_at_once(server: Server) -> None:
    organization = OF_SHARD[1][0]
    path = f"/v1/organizations/{organization}/usage"
    for _ in range(5):
        made = server.admin("POST", f"/v1/organizations/{organization}/keys", {}).json()
        assert {asked_anew(server, "GET", path, made["key"]).status_code for _ in range(6)} == {200}
        asked_anew(server, "DELETE", f"/v1/organizations/{organization}/keys/{made['id']}")
        assert {asked_anew(server, "GET", path, made["key"]).status_code for _ in range(6)} == {401}
    for meters in ({"credits": 7}, {"credits": "8.5"}):
        server.subscribe(organization, {"plan": None, "anchor": "2026-01-01", "interval": None, "limits": meters})
        limits = {Decimal(str(asked_anew(server, "GET", path).json()["meters"]["credits"]["limit"])) for _ in range(6)}
        assert limits == {Decimal(str(meters["credits"]))}


def test_grants_and_balances_are_those_of_the_organizations_shard(server: Server) -> None:
    """Whichever process is asked: what it has read of grants before is not told again."""
    for shard in range(SHARDS):
        path = f"/v1/organizations/{OF_SHARD[shard][1]}"
        before = asked_anew(server, "GET", f"{path}/balances/credits").json()["balance"]
        for number in range(4):
            body = {"id": f"g-{number}", "meter": "credits", "amount": 5}
            made = [asked_anew(server, "POST", f"{path}/grants", json=body).status_code for _ in range(3)]
            assert made == [201, 200, 200]
            told = [asked_anew(server, "GET", f"{path}/balances/credits").json()["balance"] for _ in range(6)]
            assert told == [before + 5 * (number + 1)] * 6
        assert {len(asked_anew(server, "GET", f"{path}/grants").json()) for _ in range(6)} == {4}
        assert asked_anew(server, "POST", f"{path}/grants/g-0/void").status_code == 200
        told = [asked_anew(server, "GET", f"{path}/balances/credits").json()["balance"] for _ in range(6)]
        assert told == [before + 15] * 6


def test_metrics_and_log_lines_name_the_shard(server: Server) -> None:
    text = server.http.get("/metrics").text
    for shard in range(SHARDS):
        assert f'meterhouse_stored_events{{shard="{shard}"}}' in text
    assert text.count("# TYPE meterhouse_stored_events gauge") == 1
    lines = [json.loads(line) for line in server.printed().splitlines() if line.startswith("{")]
    assert {line["shard"] for line in lines if line["event"] == "request"} <= set(range(SHARDS))
    assert [line["event"] for line in lines if "shard" not in line][:2] == ["starting", "listening"]


def test_a_correction_is_made_where_its_events_are(server: Server) -> None:
    for shard in range(SHARDS):
        [one] = [event("credit.used", OF_SHARD[shard][0], {"amount": 100})]
        server.send("unsiloed", [one])
        named = {"source": one["source"], "id": one["id"]}
        body = {"id": f"void-{shard}", "actor": "ada", "reason": "a test", "void": [named]}
        for _ in range(4):
            made = asked_anew(server, "POST", "/v1/corrections?namespace=unsiloed", json=body)
            assert made.status_code in (200, 201), made.text
        assert asked_anew(server, "GET", f"/v1/corrections/void-{shard}?namespace=unsiloed").json()["steps"]


def test_a_correction_over_shards_is_refused_and_says_what_to_do(server: Server) -> None:
    events = some_events(2)
    server.send("unsiloed", events)
    named = [{"source": each["source"], "id": each["id"]} for each in events]
    body = {"actor": "ada", "reason": "a test", "void": named}
    refused = server.admin("POST", "/v1/corrections?namespace=unsiloed", body)
    assert refused.status_code == 400
    assert "make a correction for each organization" in refused.json()["detail"]


@pytest.mark.thorough
def test_a_reader_who_hangs_up_leaves_nothing_in_any_shard(tmp_path: Path) -> None:
    with serve(tmp_path / "data", environment=ENVIRONMENT) as server:
        for n in range(40):
            texts = [event("credit.used", OF_SHARD[n % SHARDS][0], {"amount": 1, "text": os.urandom(10_000).hex()})]
            server.send("unsiloed", texts)
        frozen = lambda: [*(tmp_path / "data").glob("shards/*/events/shadow/backup*")]  # noqa: E731
        for path in ("/v1/export", "/v1/backup"):
            with socket.create_connection(("127.0.0.1", server.port)) as stalled:
                head = f"GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {ADMIN_KEY}\r\n\r\n"
                stalled.sendall(head.encode())
                assert stalled.recv(12) == b"HTTP/1.1 200"
            deadline = time.monotonic() + 60
            while frozen():
                assert time.monotonic() < deadline
                time.sleep(0.05)
        whole = server.http.get("/v1/export", headers={"authorization": f"Bearer {ADMIN_KEY}"})
        assert len(whole.content.splitlines()) == 40


def test_the_system_page_tells_of_each_shard_also_of_one_that_does_not_answer(server: Server) -> None:
    with visitor(server, ADMIN_KEY) as operator:
        assert operator.get("/system").text.count("does not answer") == 0
        stopped = server.shards()[0]
        os.kill(stopped, signal.SIGKILL)
        seen = set()
        for _ in range(100):
            with suppress(httpx.TransportError):
                seen.add("does not answer" in operator.get("/system").text)
            if seen == {True, False}:
                break
            time.sleep(0.02)
        assert True in seen
    ready(server)


def test_one_that_died_is_started_again_and_its_requests_are_told_to_repeat(server: Server) -> None:
    answered = server.send("unsiloed", some_events(4))
    assert answered["ingested"] == 4
    [dead] = [each for each in server.shards() if b".shard\x001\x00" in Path(f"/proc/{each}/cmdline").read_bytes()]
    os.kill(dead, signal.SIGKILL)
    events, refused = some_events(4), None
    while (sent := _patiently(server, events)) is not None and sent.status_code == 503:
        refused = sent
    assert sent is not None
    assert sent.json()["ingested"] + sent.json()["duplicates"] == 4
    if refused is not None:
        assert refused.headers["retry-after"] == "1"
        told = refused.json()
        failures = [each["code"] for each in told["errors"]] if "errors" in told else [told["code"]]
        assert set(failures) == {"unavailable"}
    ready(server)
    assert dead not in server.shards()


def _patiently(server: Server, events: list[dict[str, Any]]) -> httpx.Response | None:
    try:
        return asked_anew(server, "POST", "/v1/events?namespace=unsiloed", json=events)
    except httpx.TransportError:
        return httpx.Response(503, json={"code": "unavailable"}, headers={"retry-after": "1"})


def test_shards_that_die_under_load_lose_nothing_and_count_nothing_twice(server: Server) -> None:
    """Clients who send again what was not answered with 200, as any client must."""
    before = _total(server)
    acknowledged, stop = [], threading.Event()

    def send_until_stopped() -> None:
        while not stop.is_set():
            events = some_events(5)
            while (sent := _patiently(server, events)) is None or sent.status_code != 200:
                time.sleep(0.02)
            acknowledged.append(len(events))

    clients = [threading.Thread(target=send_until_stopped) for _ in range(4)]
    for client in clients:
        client.start()
    random = Random(1)
    for _ in range(by_depth(2, 5, 40)):
        time.sleep(random.uniform(0.2, 1))
        os.kill(random.choice(server.shards()), signal.SIGKILL)
        ready(server)
    stop.set()
    for client in clients:
        client.join()
    ready(server)
    assert _total(server) - before == sum(acknowledged)


def _total(server: Server) -> int:
    answer = asked_anew(server, "GET", "/v1/query?namespace=unsiloed&meter=credits&range=30d").json()
    return int(answer["meters"][0]["total"])


@pytest.mark.thorough
def test_shards_end_with_their_supervisor_and_the_folder_can_be_served_again(tmp_path: Path) -> None:
    with serve(tmp_path / "data", environment=ENVIRONMENT) as server:
        server.send("unsiloed", some_events(6))
        shards = server.shards()
        assert len(shards) == SHARDS
        sockets = Path(Path(f"/proc/{shards[0]}/cmdline").read_text().split("\0")[4])
        assert sockets.exists()
        server.process.kill()
        server.process.wait()
        for _ in range(200):
            if not any(Path(f"/proc/{shard}").exists() for shard in shards):
                break
            time.sleep(0.05)
        assert not sockets.exists()
    with serve(tmp_path / "data") as again:  # it knows how many shards it has
        assert len(again.shards()) == SHARDS
        assert _total(again) == 6
        assert again.stop() == 0


@pytest.mark.thorough
def test_a_folder_that_lacks_a_shard_is_not_served(tmp_path: Path) -> None:
    with serve(tmp_path / "data", environment=ENVIRONMENT) as made:
        made.send("unsiloed", some_events(6))
        assert made.stop() == 0
    (tmp_path / "data" / "shards" / "1").rename(tmp_path / "aside")
    with pytest.raises(AssertionError, match="shards/1 is gone, with all events of shard 1"), serve(tmp_path / "data"):
        pass
    (tmp_path / "aside").rename(tmp_path / "data" / "shards" / "1")
    with serve(tmp_path / "data") as again:
        assert _total(again) == 6


@pytest.mark.thorough
def test_a_folder_keeps_its_number_of_shards(tmp_path: Path) -> None:
    with serve(tmp_path / "one") as one:
        assert one.stop() == 0
    for folder, shards, words in (("one", 2, "has 1 shard"), ("two", 3, "has 2 shards")):
        if folder == "two":
            with serve(tmp_path / "two", environment=ENVIRONMENT) as two:
                assert two.stop() == 0
        with (
            pytest.raises(AssertionError, match=f"{words}.*meterhouse reshard {shards}"),
            serve(tmp_path / folder, environment={"METERHOUSE_SHARDS": str(shards)}),
        ):
            pass

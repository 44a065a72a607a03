"""A running server becomes a cluster: every answer stays what it was, whatever ends the move and however often."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest
from test_same_answers import ORGANIZATIONS, Life, open_accounts

from support.books import ENVIRONMENT, NOW
from support.clusters import Cluster, cluster
from support.depth import by_depth
from support.engines import RunningFront
from support.pages import visitor
from support.server import ADMIN_KEY, Server, event, serve

SHARDS = 3
STEPS = by_depth(10, 40, 200)
POSITIONS = re.compile(rb'"(?:position|request_id)":"[^"]*",?')
"""All that differs: a position names the shard of an organization, and there was one."""
DYING = Path(__file__).parent / "dying.py"


@dataclass
class Alone:
    """The server that is to be moved, as `Life` has it, and all that it answered to those who read."""

    server: Server
    own_keys: dict[str, str] = field(default_factory=dict)
    asked: dict[tuple[str, str, str], tuple[int, bytes]] = field(default_factory=dict)
    """By path, and header and text of a credential."""

    @property
    def servers(self) -> tuple[Server, Server]:
        return self.server, self.server

    @property
    def keys(self) -> tuple[dict[str, str], dict[str, str]]:
        return self.own_keys, self.own_keys

    def ask(self, method: str, path: str, *, media: str = "application/json", **options: Any) -> tuple[int, bytes]:
        if method == "GET":
            return self.read(path, "authorization", f"Bearer {ADMIN_KEY}")
        headers = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": media}
        answer = self.server.http.request(method, path, headers=headers, **options)
        return answer.status_code, answer.content

    def ask_as(self, organization: str, path: str, header: str, credential: str) -> None:
        self.read(path, header, credential.format(self.own_keys[organization]))

    def read(self, path: str, header: str, credential: str) -> tuple[int, bytes]:
        self.asked[path, header, credential] = found = answered(self.server, path, header, credential)
        return found


def answered(server: Server, path: str, header: str, credential: str) -> tuple[int, bytes]:
    answer = server.http.get(path, headers={header: credential})
    return answer.status_code, POSITIONS.sub(b"", answer.content)


@dataclass
class Move:
    """A server, and the cluster that it is to be moved into."""

    server: Server
    cluster: Cluster

    def environment(self, **more: str) -> dict[str, str]:
        url = f"http://127.0.0.1:{self.server.port}"
        return {**os.environ, **self.cluster.settings(), "METERHOUSE_URL": url, **more}

    def run(self, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "meterhouse", "migrate", *arguments]
        environment = {name: text for name, text in self.environment(**more).items() if text}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def done(self) -> str:
        run = self.run()
        assert run.returncode == 0, run.stderr
        return run.stdout

    def refused(self, *arguments: str, **more: str) -> str:
        run = self.run(*arguments, **more)
        assert run.returncode == 1, run
        return run.stderr

    def die(self, step: int | str, when: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(DYING), str(step), when]
        return subprocess.run(command, env=self.environment(), capture_output=True, text=True, timeout=120, check=False)

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = self.server.admin("GET", "/v1/migration").json()
        return told

    def cancel(self) -> None:
        """What nobody goes on with, so that it need not lapse."""
        if (status := self.status())["state"] in ("copying", "paused"):
            gone = self.server.admin("DELETE", "/v1/migration", params={"id": status["id"]})
            assert gone.status_code == 204, gone.text


Make = Callable[..., Any]


@pytest.fixture
def make(tmp_path: Path, new_database: Callable[[], str], clickhouse: RunningFront, prefix: str) -> Iterator[Make]:
    """Makes a move: a server, whose settings may be given, and an empty cluster of so many shards."""
    with ExitStack() as stack:

        def made(shards: int = SHARDS, *, now: Any = None, server: dict[str, str] | None = None) -> Move:
            alone = stack.enter_context(
                serve(tmp_path / "alone", now=now, environment={**ENVIRONMENT, **(server or {})})
            )
            urls = [f"{clickhouse.url}/{prefix}_{shard}" for shard in range(shards)]
            more = {**ENVIRONMENT, **({"METERHOUSE_NOW": now.isoformat()} if now is not None else {})}
            return Move(alone, stack.enter_context(cluster(tmp_path, new_database(), urls, **more)))

        yield made


def used(server: Server, organization: str) -> Decimal:
    return Decimal(server.usage(organization)["meters"]["credits"]["used"])


def spend(server: Server, organizations: list[str]) -> None:
    sent = server.send("unsiloed", [event("credit.used", each, {"amount": "1"}) for each in organizations])
    assert sent["ingested"] == len(organizations)


@contextmanager
def standing_by(move: Move, name: str) -> Iterator[Future[Server]]:
    """A node that is started before the server has moved."""
    with ThreadPoolExecutor(1) as pool:
        yield pool.submit(move.cluster.start, name)


@pytest.mark.thorough
def test_every_answer_is_as_it_was(make: Make) -> None:
    move: Move = make(now=NOW)
    alone = Alone(move.server)
    open_accounts(alone)  # type: ignore[arg-type] # it is asked as both are
    life = Life(alone, 1)  # type: ignore[arg-type] # the same
    for _ in range(STEPS):
        life.step()
    life.ask_everything()
    organization = "onepin-1"
    link = move.server.admin("POST", f"/v1/organizations/{organization}/portal-links", {"expires_in_seconds": 3600})
    alone.read(f"/v1/organizations/{organization}/usage", "authorization", f"Bearer {link.json()['token']}")
    for meter, namespace in (("credits", "onepin"), ("mentions", "octolens"), ("credits", "unsiloed")):
        for each in ORGANIZATIONS[namespace]:
            page = f"/v1/organizations/{each}/events?meter={meter}&limit=1&from=2026-01-01T00:00:00Z"
            for _ in range(3):  # cursors lead on
                answer = move.server.http.get(page, headers={"authorization": f"Bearer {ADMIN_KEY}"})
                alone.read(page, "authorization", f"Bearer {ADMIN_KEY}")
                if answer.status_code != 200 or not (page := answer.json()["next"] or ""):
                    break
    alone.read("/v1/organizations", "authorization", f"Bearer {ADMIN_KEY}")
    with visitor(move.server, ADMIN_KEY) as browser:
        cookie = "; ".join(f"{name}={text}" for name, text in browser.cookies.items())
    stored = move.server.admin("GET", "/v1/export").text.splitlines()
    assert len([each for each in alone.asked if "cursor=" in each[0]]) >= 4

    told = move.done()
    assert re.search(r"[\d,]+ events \(.*\) moved in .* paused for \d+\.\d\d s", told), told

    for name in ("a", "b"):
        node = move.cluster.start(name)
        assert {asked: answered(node, *asked) for asked in alone.asked} == alone.asked
        assert sorted(node.admin("GET", "/v1/export").text.splitlines()) == sorted(stored)
        assert node.http.get("/system", headers={"cookie": cookie}).status_code == 200
    life.go_on_with(Alone(node, alone.own_keys))  # type: ignore[arg-type] # as above
    for _ in range(STEPS // 2):
        life.step()
    life.ask_everything()
    for server in (node, move.cluster.nodes["a"]):
        assert server.key("onepin-2") != server.key("onepin-2"), "keys are numbered on"


@pytest.mark.thorough
def test_a_server_that_moves_answers_and_takes_events_and_nothing_is_lost(make: Make) -> None:
    move: Move = make(now=None)
    organizations = [move.server.organization("unsiloed") for _ in range(5)]
    for _ in range(40):
        spend(move.server, organizations)
    over, targets, slowest = threading.Event(), [move.server], [0.0]

    def send() -> int:
        sent = 0
        while not over.is_set():
            events = [event("credit.used", each, {"amount": "1"}) for each in organizations]
            began = time.monotonic()
            for attempt in range(10_000):
                target = targets[attempt % len(targets)]
                path, headers = "/v1/events?namespace=unsiloed", {"authorization": f"Bearer {ADMIN_KEY}"}
                try:
                    url = f"http://127.0.0.1:{target.port}{path}"
                    answer = httpx.post(url, json=events, headers=headers, timeout=60, trust_env=False)
                except httpx.TransportError:
                    continue
                if answer.status_code == 200:
                    break
                assert answer.status_code == 503, answer.text
                assert int(answer.headers["Retry-After"]) >= 1
                time.sleep(0.02)
            slowest[0] = max(slowest[0], time.monotonic() - began)
            sent += 1
        return sent

    with ThreadPoolExecutor(3) as pool, standing_by(move, "a") as starting:
        sending = [pool.submit(send) for _ in range(2)]
        time.sleep(1)
        told = move.done()
        answering(node := starting.result())
        targets.append(node)
        time.sleep(1)
        over.set()
        sent = sum(each.result() for each in sending)
    assert "paused for" in told
    assert [used(node, each) for each in organizations] == [40 + sent] * len(organizations)
    for method, path in (("GET", f"/v1/organizations/{organizations[0]}/usage"), ("POST", "/v1/organizations")):
        gone = move.server.admin(method, path)
        assert (gone.status_code, gone.json()["code"]) == (503, "moved"), gone.text
    assert move.server.http.get("/healthz").status_code == 200
    assert "has been moved into this cluster already" in move.refused()
    assert move.server.stop() == 0
    again = subprocess.run(
        [sys.executable, "-m", "meterhouse", "serve", "--data", str(move.server.data)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert again.returncode == 1
    assert "has moved into a cluster" in again.stderr
    assert str(move.server.data / "moved") in again.stderr


@pytest.mark.thorough
def test_whenever_it_is_killed_it_can_be_repeated(make: Make) -> None:
    """Killed at one step after the other, until there is none left."""
    move: Move = make(2)
    organizations = [move.server.organization("unsiloed") for _ in range(5)]
    sent, moved, died = 1, False, []
    spend(move.server, organizations)
    with standing_by(move, "a") as starting:
        for number in count(1, stride := by_depth(4, 3, 1)):
            for when in ("before", "after"):
                if (run := move.die(number, when)).returncode != -signal.SIGKILL:
                    break
                died.append((number, when))
                if arrival(move) in ("copying", "ready"):
                    assert holders(move) == {f"meterhouse migrate on {socket.gethostname()}"}, "the node stands by"
                moved = move.status()["state"] == "moved"
                if not moved:
                    move.cancel()
                    spend(move.server, organizations)
                    sent += 1
            else:
                continue
            break
        assert died[-1][0] + stride > 20, died
        assert moved or run.returncode == 0, run.stderr
        node = starting.result()
    answering(node)
    assert [used(node, each) for each in organizations] == [sent] * len(organizations)
    spend(node, organizations)


def asked(move: Move, sql: str) -> list[Any]:
    """The first column of what the cluster's database answers."""
    with psycopg.connect(move.cluster.cluster_url.replace("postgresql+psycopg", "postgresql")) as connection:
        return [told for [told] in connection.execute(sql.encode())]


def holders(move: Move) -> set[str]:
    """Who has a shard, or had it last."""
    return {*asked(move, "SELECT node FROM leases")}


def arrival(move: Move) -> str | None:
    """How far the cluster says that the move is."""
    if asked(move, "SELECT to_regclass('cluster')::text") == [None]:
        return None
    [told] = asked(move, "SELECT arrival FROM cluster")
    return told and str(json.loads(told)["step"])


def answering(node: Server) -> None:
    """Waits until a node does, which has stood by."""
    until = time.monotonic() + 30
    while True:
        try:
            if node.http.get("/readyz").status_code == 200:
                return
        except httpx.TransportError:
            assert time.monotonic() < until, node.printed()
        time.sleep(0.1)


@pytest.mark.thorough
def test_what_ended_after_the_server_had_moved_is_said_later(make: Make) -> None:
    """Also when the server has been stopped meanwhile."""
    move: Move = make(2)
    organizations = [move.server.organization("unsiloed")]
    spend(move.server, organizations)
    assert move.die("RunningServer.moved", "after").returncode == -signal.SIGKILL
    assert move.status()["state"] == "moved"
    assert move.server.stop() == 0
    other = move.server.data.parent / "other"
    other.mkdir()
    assert "name the running server" in move.refused(METERHOUSE_URL="", METERHOUSE_DATA=str(other))
    said = move.run(METERHOUSE_URL="", METERHOUSE_DATA=str(move.server.data))
    assert (said.returncode, "had moved already" in said.stdout) == (0, True), said
    assert used(move.cluster.start("a"), organizations[0]) == 1


@pytest.mark.thorough
def test_a_pause_lapses_and_nobody_goes_on_with_it(make: Make) -> None:
    move: Move = make(1)
    server = move.server
    [organization] = organizations = [server.organization("unsiloed")]
    limited = {"authorization": f"Bearer {server.key(server.organization('octolens'))}"}
    assert server.http.get("/api/v2/org/usage", headers=limited).status_code == 200
    begun = server.admin("POST", "/v1/migration")
    assert (begun.status_code, begun.json()["state"]) == (201, "copying")
    assert server.admin("POST", "/v1/migration").status_code == 409
    erasure = {"id": "x", "organization": organization, "property": "user", "value": "ada", "actor": "a", "reason": "r"}
    refused = server.admin("POST", "/v1/erasures", erasure)
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5"), refused.text
    spend(server, organizations)
    change = {"id": begun.json()["id"], "state": "paused"}
    assert server.admin("GET", "/v1/migration/ledger").status_code == 400, "only while everything rests"
    assert server.admin("PUT", "/v1/migration", change).json()["state"] == "paused"
    paused = time.monotonic()
    url = f"http://127.0.0.1:{server.port}/api/v2/org/usage"  # no contract has this answer in its document
    counted = httpx.get(url, headers=limited, trust_env=False)
    assert (counted.status_code, counted.headers["retry-after"]) == (503, "5"), "what a rate limit counts is a change"
    assert server.admin("PUT", "/v1/migration", {**change, "state": "copying"}).json()["state"] == "paused"
    for method, path in (("POST", "/v1/events?namespace=unsiloed"), ("DELETE", f"/v1/organizations/{organization}")):
        refused = server.admin(method, path, [])
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "5"), refused.text
    assert used(server, organization) == 1
    with ThreadPoolExecutor(1) as pool:
        moving = pool.submit(move.done)  # waits until the other one has lapsed
        while server.admin("GET", "/v1/migration").json()["id"] == change["id"]:
            time.sleep(0.1)
        assert 29 < time.monotonic() - paused < 40
        late = server.admin("PUT", "/v1/migration", {**change, "state": "moved"})
        assert late.status_code == 404, late.text
        moving.result()
    assert used(move.cluster.start("a"), organization) == 1


@pytest.mark.thorough
def test_what_cannot_be_moved_is_refused_and_nothing_changes(make: Make) -> None:
    move: Move = make(2, server={"METERHOUSE_SHARDS": "2"})
    told = move.refused()
    assert "reshard 1" in told
    assert "METERHOUSE_CLUSTER_URL" in move.refused(METERHOUSE_CLUSTER_URL="")
    assert "not valid" in move.refused(METERHOUSE_ADMIN_KEY="another-admin-key-0123456789")
    assert "METERHOUSE_ADMIN_KEY" in move.refused(METERHOUSE_ADMIN_KEY="")
    assert "does not answer" in move.refused(METERHOUSE_URL="http://127.0.0.1:1")
    node = move.cluster.start("a")
    organizations = [node.organization("unsiloed")]
    assert "has organizations already" in move.refused()
    spend(node, organizations)
    assert "has events already" in move.refused()
    assert used(node, organizations[0]) == 1
    node_moves = {"METERHOUSE_URL": f"http://127.0.0.1:{node.port}"}
    assert node.admin("POST", "/v1/migration").status_code == 400
    assert "already" in move.refused(**node_moves)

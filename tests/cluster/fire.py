"""A cluster under fire: clients who repeat what was not answered, readers who hold every answer against what had been
acknowledged before they asked, and somebody who breaks things."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import httpx

from support.books import ANCHOR, NOW, PAIRS, Batch, Books, Sent, observed, some_event, unequal
from support.clusters import Cluster, PostgreSQL, processes_of, signal_all
from support.engines import RunningFront, running_front
from support.proxies import Proxy, proxies
from support.server import ADMIN_KEY, Server, free_port

LEASE_S = 2
NODES = ("a", "b", "c")
SHARDS = 4
CLIENTS = 4
RESERVING = 2
LIMITED = "limited-1"
"""The organization of those who reserve before they use."""
LIMIT = 400
READERS = 3
_HEADERS = {"authorization": f"Bearer {ADMIN_KEY}", "content-type": "application/json"}
_PATIENCE_S = 60


@dataclass
class Tally:
    """What a run has seen."""

    acknowledged: int = 0
    repeated: int = 0
    read: int = 0
    refused_reads: int = 0
    missed: list[str] = field(default_factory=list)
    """Answers that lacked what had been acknowledged before they were asked for, or had what nobody sent."""
    faults: Counter[str] = field(default_factory=Counter)
    granted: Decimal = Decimal(0)
    """What was reserved and then used, of an organization with a limit."""
    refused: int = 0
    longest_gap_s: float = 0
    """How long a request had to be repeated at most until it was acknowledged."""
    lost: int = 0
    doubled: int = 0

    def __str__(self) -> str:
        faults = ", ".join(f"{number} × {name}" for name, number in sorted(self.faults.items()))
        return (
            f"{faults}: {self.acknowledged} events acknowledged, {self.lost} lost, {self.doubled} doubled, "
            f"{self.repeated} requests repeated; {self.read} answers read, {len(self.missed)} wrong, "
            f"{self.refused_reads} refused; {self.granted} of {LIMIT} granted, {self.refused} reservations refused; "
            f"longest until a request was acknowledged {self.longest_gap_s:.1f} s"
        )


class Fire:
    """One run."""

    def __init__(self, cluster: Cluster, database: PostgreSQL, fronts: list[RunningFront], seed: int):
        self.cluster, self.database, self.fronts = cluster, database, fronts
        self.tally = Tally()
        self.random = Random(f"{seed}/faults")
        self._seed = seed
        self._lock = threading.Lock()
        self._sent: dict[str, Decimal] = defaultdict(Decimal)
        self._acknowledged: dict[str, Decimal] = defaultdict(Decimal)
        self._events: dict[tuple[str, str], Sent] = {}
        self._over = threading.Event()
        self._keys: dict[str, str] = {}
        self._ports = {name: free_port() for name in NODES}
        self._proxies: dict[str, list[Proxy]] = {}

    def begin(self) -> None:
        """Starts the nodes. Other nodes reach each of them through a network that can be cut."""
        for number, name in enumerate(NODES):
            ports = range(self._ports[name], self._ports[name] + SHARDS)
            made = proxies(f"127.0.1.{number + 1}", f"127.0.2.{number + 1}", ports)
            self._proxies[name] = self.cluster.stack.enter_context(made)
        with ThreadPoolExecutor(len(NODES)) as pool:
            [*pool.map(self.start, NODES)]
        node = self.cluster.nodes["a"]
        for namespace, organization in PAIRS:
            node.organization(namespace, id=organization, created_at=f"{ANCHOR}T00:00:00Z")
            node.subscribe(organization, {"plan": None, "anchor": ANCHOR, "interval": None})
            self._keys[organization] = node.key(organization)
        node.organization("unsiloed", id=LIMITED)
        node.subscribe(LIMITED, {"plan": None, "anchor": ANCHOR, "interval": None, "limits": {"credits": LIMIT}})

    def start(self, name: str) -> Server:
        number = NODES.index(name)
        return self.cluster.start(
            name,
            METERHOUSE_NODE_HOST=f"127.0.1.{number + 1}",
            METERHOUSE_NODE_LISTEN=f"127.0.2.{number + 1}",
            METERHOUSE_NODE_PORT=str(self._ports[name]),
        )

    def burn(self, faults: list[Callable[[Fire], None]]) -> Tally:
        """Does some faults, one after the other, while clients send and read; then holds what is there to the books."""
        with ThreadPoolExecutor(CLIENTS + READERS + RESERVING) as pool:
            busy = [pool.submit(self._send, number) for number in range(CLIENTS)]
            busy += [pool.submit(self._reserve, number) for number in range(RESERVING)]
            busy += [pool.submit(self._read, number) for number in range(READERS)]
            try:
                time.sleep(1)
                for fault in faults:
                    fault(self)
                    self.tally.faults[fault.__name__.replace("_", " ")] += 1
                    time.sleep(self.random.uniform(0.5, 2))
            finally:
                self._over.set()
            for each in busy:
                each.result()
        self._hold()
        return self.tally

    def _send(self, number: int) -> None:
        random = Random(f"{self._seed}/client/{number}")
        sent = 0
        with httpx.Client(timeout=_PATIENCE_S, trust_env=False, headers=_HEADERS) as http:
            while not self._over.is_set():
                namespace = random.choice(["unsiloed", "unsiloed", "octolens", "onepin", "aitronos", "autoposting"])
                batch = [
                    some_event(random, namespace, f"{number}-{sent}-{n}") for n in range(random.choice((1, 1, 5, 40)))
                ]
                sent += 1
                self._deliver(http, random, batch)
                time.sleep(random.uniform(0, 0.05))

    def _reserve(self, number: int) -> None:
        """Reserves, and uses what was granted; everything is repeated until it is answered."""
        random = Random(f"{self._seed}/reserving/{number}")
        with httpx.Client(timeout=_PATIENCE_S, trust_env=False, headers=_HEADERS) as http:
            for turn in count():
                if self._over.is_set():
                    return
                name, amount = f"r-{number}-{turn}", random.choice((1, 2, 5))
                path = f"/v1/organizations/{LIMITED}/reservations"
                asked = {"meter": "credits", "amount": amount, "id": name}
                if self._answered(http, random, path, asked) == 402:
                    self.tally.refused += 1
                    time.sleep(0.2)
                    continue
                data = {"amount": str(amount)}
                envelope = {"specversion": "1.0", "id": name, "source": "fire", "type": "credit.used"}
                used = {"event": {**envelope, "subject": LIMITED, "data": data}}
                assert self._answered(http, random, f"{path}/{name}/commit", used) == 200
                with self._lock:
                    self.tally.granted += amount
                time.sleep(random.uniform(0, 0.1))

    def _answered(self, http: httpx.Client, random: Random, path: str, body: object) -> int:
        """The status of a request that some node answers in the end."""
        for _ in range(600):
            try:
                answer = http.post(self._some_url(random) + path, json=body)
            except httpx.TransportError:
                continue
            if answer.status_code in (200, 201, 402):
                return answer.status_code
            assert answer.status_code in (503, 429), answer.text
            time.sleep(0.1)
        raise AssertionError(f"{path} is not answered by any node")

    def _deliver(self, http: httpx.Client, random: Random, batch: Batch) -> None:
        """Repeats a request until it is acknowledged, at whichever node."""
        content = "[" + ",".join(event.json() for event in batch) + "]"
        with self._lock:
            for event in batch:
                self._sent[event.organization] += _credits(event)
        began = time.monotonic()
        while not self._taken(http, self._some_url(random), batch[0].namespace, content):
            self.tally.repeated += 1
            assert time.monotonic() - began < _PATIENCE_S, "a request is not acknowledged by any node"
            time.sleep(0.1)
        with self._lock:
            self.tally.longest_gap_s = max(self.tally.longest_gap_s, time.monotonic() - began)
            self.tally.acknowledged += len(batch)
            for event in batch:
                self._acknowledged[event.organization] += _credits(event)
                self._events[event.namespace, event.id] = event

    @staticmethod
    def _taken(http: httpx.Client, url: str, namespace: str, content: str) -> bool:
        try:
            answer = http.post(f"{url}/v1/events", params={"namespace": namespace}, content=content)
        except httpx.TransportError:
            return False
        if answer.status_code != 200:
            assert answer.status_code in (503, 429), answer.text
            assert answer.headers["retry-after"], answer.text
            return False
        report = answer.json()
        return report["conflicts"] == report["rejected"] == 0 and report["errors"] == []

    def _read(self, number: int) -> None:
        random = Random(f"{self._seed}/reader/{number}")
        # Soon impatient, so that a node that was frozen finds a question that was asked a moment ago.
        with httpx.Client(timeout=0.5, trust_env=False, headers=_HEADERS) as http:
            while not self._over.is_set():
                organization = random.choice(["unsiloed-1", "unsiloed-2", "onepin-1"])
                with self._lock:
                    least = self._acknowledged[organization]
                try:
                    answer = http.get(f"{self._some_url(random)}/v1/organizations/{organization}/usage")
                except httpx.TransportError:
                    self.tally.refused_reads += 1
                    continue
                if answer.status_code != 200:
                    assert answer.status_code == 503, answer.text
                    self.tally.refused_reads += 1
                    time.sleep(0.05)
                    continue
                used = Decimal(json.loads(answer.content, parse_float=Decimal)["meters"]["credits"]["used"])
                with self._lock:
                    most = self._sent[organization]
                self.tally.read += 1
                if not least <= used <= most:
                    self.tally.missed.append(f"{organization}: {used}, acknowledged {least}, sent {most}")

    def _some_url(self, random: Random) -> str:
        return f"http://127.0.0.1:{self.cluster.nodes[random.choice(NODES)].port}"

    def _hold(self) -> None:
        """Every event is there once, and every answer of every node is what the books say."""
        books = Books()
        for event in self._events.values():
            books.add(event)
        for name in NODES:
            node = self.cluster.nodes[name]
            _wait_until_ready(node)
            answered = observed(node, self._keys, contracts=True)
            differences = unequal(answered, books.figures(contracts=True))
            assert not differences, f"{name} answers, and expected: {differences}; {self.tally}"
            used = Decimal(node.usage(LIMITED)["meters"]["credits"]["used"])
            assert used == self.tally.granted <= LIMIT, f"{used} used, {self.tally}"
        exported = self.cluster.nodes["b"].admin("GET", "/v1/export")
        assert exported.status_code == 200, exported.text
        found: Counter[tuple[str, str]] = Counter()
        for line in exported.content.splitlines():
            told = json.loads(line)
            if told["subject"] == LIMITED:
                continue
            found[str(told.get("namespace")), str(told["id"])] += 1
        ids = Counter(event_id for _, event_id in self._events)
        seen: Counter[str] = Counter()
        for (_, event_id), times in found.items():
            seen[event_id] += times
        self.tally.lost = sum((ids - seen).values())
        self.tally.doubled = sum((seen - ids).values())


def _credits(event: Sent) -> Decimal:
    return (
        Decimal(json.loads(event.data).get("credits") or json.loads(event.data).get("amount") or 0)
        if (event.kind in ("credit.used", "line.generated"))
        else Decimal(0)
    )


def _wait_until_ready(node: Server) -> None:
    for _ in range(600):
        with suppress(httpx.TransportError):
            if node.http.get("/readyz").status_code == 200:
                return
        time.sleep(0.05)
    raise AssertionError(node.printed())


def _some_node(fire: Fire) -> str:
    return fire.random.choice(NODES)


def a_node_killed(fire: Fire) -> None:
    name = _some_node(fire)
    node = fire.cluster.nodes[name]
    signal_all(node, signal.SIGKILL)
    node.process.wait()
    time.sleep(fire.random.uniform(0, LEASE_S + 2))
    fire.start(name)


def a_shard_killed(fire: Fire) -> None:
    shards = fire.cluster.nodes[_some_node(fire)].shards()
    if shards:
        os.kill(fire.random.choice(shards), signal.SIGKILL)


def a_node_frozen(fire: Fire) -> None:
    """It goes on when its lease is long over: as a zombie."""
    pids = processes_of(fire.cluster.nodes[_some_node(fire)])
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(fire.random.uniform(LEASE_S + 1, LEASE_S + 5))
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def a_shard_frozen(fire: Fire) -> None:
    shards = fire.cluster.nodes[_some_node(fire)].shards()
    if shards:
        pid = fire.random.choice(shards)
        os.kill(pid, signal.SIGSTOP)
        time.sleep(fire.random.uniform(LEASE_S + 1, LEASE_S + 5))
        os.kill(pid, signal.SIGCONT)


def a_node_restarted(fire: Fire) -> None:
    """As an operator does."""
    name = _some_node(fire)
    assert fire.cluster.nodes[name].stop() == 0
    fire.start(name)


def a_server_that_does_not_answer_inserts(fire: Fire) -> None:
    """Though they happen."""
    broken = fire.random.choice(fire.fronts)
    broken.control("cut")
    time.sleep(3)
    broken.control("resume")


def a_server_gone(fire: Fire) -> None:
    gone = fire.random.choice(fire.fronts)
    gone.control("gone")
    time.sleep(float(os.environ.get("FIRE_GONE_S", "4")))
    gone.control("resume")


def a_server_killed(fire: Fire) -> None:
    killed = fire.random.choice(fire.fronts)
    killed.kill()
    time.sleep(1)
    killed.start()


def the_database_restarted(fire: Fire) -> None:
    fire.database.restart()


def the_network_of_a_node_cut(fire: Fire) -> None:
    """Clients reach it, other nodes do not."""
    cut = fire._proxies[_some_node(fire)]
    for each in cut:
        each.cut()
    time.sleep(3)
    for each in cut:
        each.heal()


FAULTS: list[Callable[[Fire], None]] = [
    a_node_killed,
    a_shard_killed,
    a_node_frozen,
    a_shard_frozen,
    a_node_restarted,
    a_server_that_does_not_answer_inserts,
    a_server_gone,
    a_server_killed,
    the_database_restarted,
    the_network_of_a_node_cut,
]


def play(folder: Path, database: PostgreSQL, name: str, seed: int, faults: list[Callable[[Fire], None]]) -> Tally:
    """A cluster of three nodes and four shards on two servers, from its start to its end."""
    with ExitStack() as stack:
        fronts = [stack.enter_context(running_front(folder / f"clickhouse-{number}")) for number in range(2)]
        urls = [f"{fronts[shard % 2].url}/meterhouse_{shard}" for shard in range(SHARDS)]
        made = Cluster(folder, database.database(name), urls, {"METERHOUSE_NOW": NOW.isoformat()})
        made.environment = {**made.environment, "METERHOUSE_LEASE_SECONDS": str(LEASE_S)}
        stack.enter_context(made.stack)
        fire = Fire(made, database, fronts, seed)
        try:
            fire.begin()
            return fire.burn(faults)
        except BaseException:
            for own, node in made.nodes.items():
                (folder / f"{own}.log").write_text(node.printed())
            raise


def shuffled(random: Random, rounds: int) -> list[Callable[[Fire], None]]:
    """Every fault so many times."""
    faults: list[Any] = FAULTS * rounds
    random.shuffle(faults)
    return faults

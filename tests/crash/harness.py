"""A server that is killed again and again, and the books of what was sent to it and answered."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from itertools import chain, combinations, count
from pathlib import Path
from random import Random
from typing import Any

import httpx

from crash.inventory import opened
from meterhouse.domain.shards import ShardMap
from support.books import (
    ANCHOR,
    CLIENTS,
    ENVIRONMENT,
    NOW,
    ORGANIZATIONS,
    PAIRS,
    Batch,
    Books,
    Figures,
    Identity,
    Sent,
    observed,
    some_event,
    unequal,
)
from support.server import Server, serve

BIGGEST_BATCH = 200
LONGEST_AIM_S = 6
"""Under load as many seconds pass between two folds."""


def _sizes_of_the_journal(data: Path) -> set[str]:
    return {
        f"{path} {path.stat().st_size}" for path in [*data.glob("journal/[01]"), *data.glob("shards/*/journal/[01]")]
    }


def _parts_being_written(*tables: str) -> Callable[[Path], set[str]]:
    """Parts of tables that are on their way to the disk and have not got their names yet."""

    def of(data: Path) -> set[str]:
        folders = [
            path / table
            for path in [*data.glob("events/data/default"), *data.glob("shards/*/events/data/default")]
            for table in tables
        ]
        return {each for folder in folders if folder.exists() for each in os.listdir(folder) if each.startswith("tmp_")}  # noqa: PTH208

    return of


AIMS = {
    "in a write of the journal": _sizes_of_the_journal,
    "in a flush": _parts_being_written("events"),
    "in a fold": _parts_being_written("staging", "staged", "rollups"),
}
"""What a kill can be aimed at, and the traces that it leaves in a folder as it begins."""
SELDOM = ("in a flush", "in a fold")
"""Clients who wait for these take their time."""


@dataclass
class Tally:
    """What a run has seen."""

    rounds: int = 0
    kills: int = 0
    hits: Counter[str] = field(default_factory=Counter)
    """Kills right after what they were aimed at had begun."""
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    foreign: int = 0
    miscounted: int = 0
    """Events that rollups count and are not there, or the other way round."""
    unknown_there: int = 0
    unknown_not_there: int = 0

    @property
    def faultless(self) -> bool:
        return not (self.lost or self.doubled or self.foreign or self.miscounted)

    def __str__(self) -> str:
        hits = ", ".join(f"{hits} {aim}" for aim, hits in self.hits.items())
        return (
            f"{self.rounds} rounds, {self.kills} kills ({hits}), "
            f"{self.acknowledged} events acknowledged, {self.lost} lost, {self.doubled} doubled, "
            f"{self.foreign} never sent, {self.miscounted} miscounted in rollups; "
            f"requests without an answer: {self.unknown_there} were there, "
            f"{self.unknown_not_there} were not"
        )


class Unavailable(Exception):
    """A shard did not answer another one: it may have done what it was asked for."""


@dataclass
class Crashes:
    """Rounds on one folder: start, hold against the books, load, kill."""

    folder: Path
    seed: int
    shards: int = 1
    tally: Tally = field(default_factory=Tally)
    keys: dict[str, str] = field(default_factory=dict)
    stored: dict[Identity, Sent] = field(default_factory=dict)
    """Acknowledged, or seen to be there."""
    acknowledged: set[Identity] = field(default_factory=set)
    carried: dict[Identity, Sent] = field(default_factory=dict)
    """Everything that was ever in a request."""
    unknown: list[Batch] = field(default_factory=list)
    """Requests whose answer was lost."""
    absent: list[Batch] = field(default_factory=list)
    """Requests that were not there after a restart; they are sent again under fire."""
    books: Books = field(default_factory=Books)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Iterator[int] = field(default_factory=count)

    def play(self, rounds: int) -> None:
        for number in range(rounds):
            with self._serve() as server:
                self._check(server, Random(f"{self.seed}/{number}/check"))
                Round(self, server, number).play()
            self.tally.rounds += 1
        with self._serve() as server:
            self._check(server, Random(f"{self.seed}/end"))
            for batch in self.absent:
                self.send(server, batch)
            self._hold(server, contracts=True)
            assert server.stop() == 0

    def end(self, server: Server) -> None:
        """As badly as it can."""
        server.kill()

    def some_time_s(self, random: Random) -> float:
        """How long a round lasts: rather short than long."""
        return 0.005 + 0.395 * random.random() ** 3

    def accompany(self, server: Server) -> None:
        """What else is done while clients send, until the end."""

    def stored_together(self, batch: Batch) -> list[Batch]:
        """What of a request is in one commit: all that is of one shard."""
        parts: defaultdict[int, Batch] = defaultdict(list)
        for event in batch:
            parts[ShardMap.even(self.shards).shard_of(event.namespace, event.organization)].append(event)
        return [*parts.values()]

    def _serve(self) -> Any:
        shards = {"METERHOUSE_SHARDS": str(self.shards)} if self.shards > 1 else {}
        return serve(self.folder, now=NOW, environment={**ENVIRONMENT, **shards})

    def _check(self, server: Server, random: Random) -> None:
        """What was acknowledged is there once; of each request without an answer, all or nothing."""
        if not self.keys:
            self._open_accounts(server)
        there, certain = self._find(observed(server, self.keys, contracts=False))
        for batch in there:
            self._store(batch)
        self.tally.unknown_there += len(there)
        self.tally.unknown_not_there += len(self.unknown) - len(there)
        unknown, self.unknown = self.unknown, []
        for batch in unknown:
            if certain and batch not in there and random.random() < 0.5:
                self.absent.append(batch)
            else:
                self.send(server, batch, certain=certain)
        self._hold(server, contracts=self.tally.rounds % 3 == 0)  # they cost more than our own answer

    def _find(self, figures: Figures) -> tuple[list[Batch], bool]:
        """Which of the requests without an answer are there, and whether only one choice explains the figures."""
        explanations: dict[frozenset[Identity], list[Batch]] = {}
        choices = chain.from_iterable(combinations(self.unknown, size) for size in range(len(self.unknown) + 1))
        for choice in choices:
            fresh = {event.identity: event for batch in choice for event in batch if event.identity not in self.stored}
            books = copy(self.books)
            for event in fresh.values():
                books.add(event)
            if books.figures(contracts=False) == figures:
                # A request of which another brought every event counts as there, too.
                explanations[frozenset(fresh)] = list(choice)
        differences = unequal(figures, self.books.figures(contracts=False))
        assert explanations, (
            f"what was acknowledged and whole requests of {len(self.unknown)} unanswered ones do not add up to what is "
            f"answered; answered and acknowledged: {differences}"
        )
        return next(iter(explanations.values())), len(explanations) == 1

    def _hold(self, server: Server, *, contracts: bool) -> None:
        figures = observed(server, self.keys, contracts=contracts)
        differences = unequal(figures, self.books.figures(contracts=contracts))
        assert not differences, f"answered and expected: {differences}"

    def _open_accounts(self, server: Server) -> None:
        for namespace, organization in PAIRS:
            server.organization(namespace, id=organization, created_at=f"{ANCHOR}T00:00:00Z")
            server.subscribe(organization, {"plan": None, "anchor": ANCHOR, "interval": None})
            self.keys[organization] = server.key(organization)

    def send(self, server: Server, batch: Batch, *, certain: bool = True) -> None:
        """A request with nothing beside it, so that its report is known beforehand."""
        fresh = {event.identity for event in batch} - self.stored.keys()
        report = post(server, batch)
        if certain:
            assert report["ingested"] == len(fresh), report
        self.acknowledge(batch)

    def acknowledge(self, batch: Batch) -> None:
        self._store(batch)
        self.acknowledged.update(event.identity for event in batch)
        self.tally.acknowledged = len(self.acknowledged)

    def _store(self, batch: Batch) -> None:
        for event in batch:
            if event.identity not in self.stored:
                self.stored[event.identity] = event
                self.books.add(event)

    def take_inventory(self) -> None:
        """Counts, in what the server has left, what is there. No server may be running."""
        found: defaultdict[Identity, int] = defaultdict(int)
        for folder in sorted((self.folder / "shards").iterdir()) if self.shards > 1 else [self.folder]:
            with opened(folder) as inventory:
                for event in inventory.events():
                    if self.carried.get(event.identity) == event:
                        found[event.identity] += 1
                    else:
                        self.tally.foreign += 1
                self.tally.miscounted += inventory.miscounted()
        self.tally.lost = len(self.acknowledged - found.keys())
        self.tally.doubled = sum(times > 1 for times in found.values())

    def new_id(self) -> str:
        return f"e-{next(self._numbers)}"


def post(server: Server, batch: Batch) -> dict[str, Any]:
    """Sends a request; the server has no reason to find fault with any of its events."""
    body = "[" + ",".join(event.json() for event in batch) + "]"
    headers = {"content-type": "application/json"}
    sent = server.admin("POST", "/v1/events", params={"namespace": batch[0].namespace}, content=body, headers=headers)
    if sent.status_code == 503:
        raise Unavailable(sent.text)
    assert sent.status_code == 200, sent.text
    report: dict[str, Any] = sent.json()
    assert report["conflicts"] == report["rejected"] == 0, report
    assert report["errors"] == [], report
    assert report["ingested"] + report["duplicates"] == len(batch), report
    return report


class Round:
    """Clients who send as fast as they get answers, and one who kills the server."""

    def __init__(self, crashes: Crashes, server: Server, number: int):
        self._crashes = crashes
        self._server = server
        self._seed = f"{crashes.seed}/{number}"
        aims = [*AIMS, "in a request", "at a moment"]
        self._aim = aims[number % len(aims)]
        self._pause_s = 0.1 if self._aim in SELDOM else 0
        self._lock = threading.Lock()
        self._posting = threading.Condition()
        self._posted = 0
        self._earlier: dict[str, list[Sent]] = {namespace: [] for namespace in ORGANIZATIONS}
        for event in crashes.carried.values():
            self._earlier[event.namespace].append(event)
        # Two clients at once send what was not there, as one does who lost patience with the first.
        self._again = [batch for batch in crashes.absent for _ in range(2)]
        crashes.absent = []

    def play(self) -> None:
        with ThreadPoolExecutor(CLIENTS + 2) as pool:
            killer = pool.submit(self._kill)
            clients = [pool.submit(self._send_until_killed, client) for client in range(CLIENTS)]
            companion = pool.submit(self._crashes.accompany, self._server)
            for each in (killer, *clients, companion):
                each.result()
        # Nobody came to send these.
        self._crashes.absent += [batch for n, batch in enumerate(self._again) if batch not in self._again[:n]]

    def _kill(self) -> None:
        random = Random(f"{self._seed}/kill")
        self._wait_for_post(0)
        time.sleep(self._crashes.some_time_s(random))
        if self._aim == "in a request":
            self._wait_for_post(self._posted)
        elif self._aim in AIMS and self._wait_for(AIMS[self._aim]):
            self._crashes.tally.hits[self._aim] += 1
        time.sleep(random.uniform(0, 0.012) if random.random() < 0.5 else 0)
        self._crashes.end(self._server)
        self._crashes.tally.kills += 1

    def _wait_for_post(self, after: int) -> None:
        with self._posting:
            self._posting.wait_for(lambda: self._posted > after, timeout=5)  # or every client has failed

    def _wait_for(self, traces: Callable[[Path], set[str]]) -> bool:
        """Whether something new was seen, of what is left by what a kill is aimed at."""
        before, deadline = traces(self._crashes.folder), time.monotonic() + LONGEST_AIM_S
        while time.monotonic() < deadline:
            if traces(self._crashes.folder) - before:
                return True
        return False

    def _send_until_killed(self, client: int) -> None:
        random = Random(f"{self._seed}/{client}")
        crashes = self._crashes
        while True:
            with self._lock:
                batch = self._again.pop(0) if self._again else self._some_batch(random)
                identities = {event.identity for event in batch}
                most = len(identities - crashes.stored.keys())
                # What others carry may be theirs or ours; what nobody has ever carried is ours.
                least = len(identities - crashes.carried.keys())
                crashes.carried.update((event.identity, event) for event in batch)
            with self._posting:
                self._posted += 1
                self._posting.notify_all()
            try:
                report = post(self._server, batch)
            except (httpx.TransportError, Unavailable):
                with self._lock:
                    crashes.unknown += crashes.stored_together(batch)
                return
            assert least <= report["ingested"] <= most, report
            with self._lock:
                crashes.acknowledge(batch)
            time.sleep(self._pause_s)

    def _some_batch(self, random: Random) -> Batch:
        namespace = random.choice(list(ORGANIZATIONS))
        earlier = self._earlier[namespace]
        return [
            random.choice(earlier)
            if earlier and random.random() < 0.1
            else some_event(random, namespace, self._crashes.new_id())
            for _ in range(random.randint(1, BIGGEST_BATCH))
        ]

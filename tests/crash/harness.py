"""A server that is killed again and again, and the books of what was sent to it and answered."""

from __future__ import annotations

import os
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_FLOOR, ROUND_HALF_UP, Decimal
from itertools import chain, combinations, count
from pathlib import Path
from random import Random
from typing import Any

import httpx
import msgspec

from meterhouse.domain.period import format_instant
from meterhouse.storage.clickhouse.chdb_engine import ChdbEngine
from server import Server, serve

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
SPAN = timedelta(days=150)
CLIENTS = 3
BIGGEST_BATCH = 200
SOURCE = "crash"
ORGANIZATIONS = {
    "unsiloed": ("unsiloed-1", "unsiloed-2"),
    "aitronos": ("aitronos-1",),
    "octolens": ("octolens-1",),
    "autoposting": ("autoposting-1",),
    "onepin": ("onepin-1",),
}
PAIRS = [(namespace, each) for namespace, organizations in ORGANIZATIONS.items() for each in organizations]
# Before every event. Without an interval our own answer is for all the time since; contracts have cycles of their own.
ANCHOR = "2026-01-01"
CYCLES = {
    "unsiloed": datetime(2026, 5, 31, tzinfo=UTC),  # 5 times 30 days after the anchor
    "aitronos": datetime(2026, 6, 1, tzinfo=UTC),
    "autoposting": datetime(2026, 6, 1, tzinfo=UTC),
    "onepin": datetime(2026, 5, 17, tzinfo=UTC),  # 30 days, today included
}
METERS = {
    "unsiloed": ("credits",),
    "aitronos": ("requests", "neurons", "synapses", "cost"),
    "octolens": ("mentions", "keywords"),
    "autoposting": ("credits", "posts", "ai_tokens", "ai_cost", "ai_requests", "clips_uploaded"),
    "onepin": ("credits", "lines", "characters"),
}
# The clock stands still, and so does the hour that requests are counted in.
ENVIRONMENT = {
    "METERHOUSE_OCTOLENS_REQUESTS_PER_HOUR": "1000000",
    "METERHOUSE_AUTOPOSTING_REQUESTS_PER_HOUR": "1000000",
}

Identity = tuple[str, str]
Figures = dict[tuple[str, str], Decimal]

_decoder = msgspec.json.Decoder(float_hook=Decimal)


@dataclass(frozen=True, slots=True)
class Sent:
    """An event as it is sent, every time with the same content; `data` is its JSON text."""

    namespace: str
    organization: str
    kind: str
    id: str
    at: datetime
    data: str

    @property
    def identity(self) -> Identity:
        return self.namespace, self.id

    def json(self) -> str:
        envelope = {"specversion": "1.0", "id": self.id, "source": SOURCE, "type": self.kind}
        more = {"subject": self.organization, "time": format_instant(self.at), "data": msgspec.Raw(self.data.encode())}
        return msgspec.json.encode({**envelope, **more}).decode()


Batch = Sequence[Sent]


def some_event(random: Random, namespace: str, event_id: str) -> Sent:
    """A new event, somewhere in five months."""
    at = NOW - timedelta(microseconds=random.randrange(1, SPAN // timedelta(microseconds=1)))
    amount = f"{random.randrange(1, 10**12)}e-9"  # no two sets of events have the same sum
    match namespace:
        case "unsiloed":
            kind, data = "credit.used", {"amount": amount, "operation": random.choice(["parse", "extract"])}
        case "aitronos":
            units = {"neurons": random.randrange(10**9), "synapses": random.randrange(10**9)}
            kind, data = "ai.request", {"model": random.choice("abc"), "cost": amount, **units}
        case "octolens":
            kind, data = random.choice(
                [
                    ("mention.found", {"mention_id": event_id}),
                    ("keyword.state", {"keyword_id": event_id, "state": random.choice(["active", "paused"])}),
                ]
            )
        case "autoposting":
            tokens = {"input_tokens": random.randrange(10**9), "output_tokens": random.randrange(10**9)}
            post = {"post_id": f"post-{random.randrange(300)}", "state": random.choice(["scheduled", "published"])}
            kind, data = random.choice(
                [
                    ("credit.used", {"amount": amount}),
                    ("post.state", {**post, "source": "api"}),
                    ("ai.usage", {"model": "m", "cost": amount, **tokens}),
                    ("clip.uploaded", {"clip_id": event_id}),
                ]
            )
        case _:
            line = {"run_id": "r", "user_id": "ada", "locale": "de", "credits": amount}
            kind, data = "line.generated", {**line, "characters": random.randrange(10**9)}
    organization = random.choice(ORGANIZATIONS[namespace])
    return Sent(namespace, organization, kind, event_id, at, msgspec.json.encode(data).decode())


def measured(event: Sent) -> dict[str, Decimal]:
    """What a single event adds to the meters that add."""
    data, one = msgspec.json.decode(event.data), Decimal(1)
    match event.kind:
        case "credit.used":
            return {"credits": Decimal(data["amount"])}
        case "ai.request":
            units = {"neurons": Decimal(data["neurons"]), "synapses": Decimal(data["synapses"])}
            return {"requests": one, "cost": Decimal(data["cost"]), **units}
        case "mention.found":
            return {"mentions": one}
        case "keyword.state":
            return {"keywords": one}
        case "ai.usage":
            tokens = Decimal(data["input_tokens"] + data["output_tokens"])
            return {"ai_requests": one, "ai_cost": Decimal(data["cost"]), "ai_tokens": tokens}
        case "clip.uploaded":
            return {"clips_uploaded": one}
        case "line.generated":
            return {"credits": Decimal(data["credits"]), "lines": one, "characters": Decimal(data["characters"])}
    return {}


class Books:
    """What every endpoint has to answer when exactly these events were stored: plain additions."""

    def __init__(self) -> None:
        self._totals: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
        self._posts: dict[tuple[str, str], tuple[datetime, str]] = {}

    def __copy__(self) -> Books:
        other = Books()
        other._totals.update(self._totals)
        other._posts.update(self._posts)
        return other

    def add(self, event: Sent) -> None:
        within = event.namespace in CYCLES and event.at >= CYCLES[event.namespace]
        for meter, value in measured(event).items():
            self._totals[event.organization, meter] += value
            if within:
                self._totals[event.organization, f"{meter} of the cycle"] += value
        if event.kind == "post.state":
            data = msgspec.json.decode(event.data)
            post, change = (event.organization, data["post_id"]), (event.at, data["state"])
            self._posts[post] = max(change, self._posts.get(post, change))

    def figures(self, *, contracts: bool) -> Figures:
        """Every number of every answer, by organization and name; of our own answers only, or of the contracts' too."""
        figures: Figures = {}
        for namespace, organization in PAIRS:
            told = {meter: self._totals[organization, meter] for meter in METERS[namespace]}
            if namespace == "autoposting":
                told["posts"] = self._count_posts(organization, "published")
            if contracts:
                told |= self.contract_figures(namespace, organization)
            figures |= {(organization, name): value for name, value in told.items()}
        return figures

    def contract_figures(self, namespace: str, organization: str) -> dict[str, Decimal]:
        def total(name: str) -> Decimal:
            return self._totals[organization, name]

        match namespace:
            case "unsiloed":
                return {"current_usage": total("credits of the cycle")}
            case "aitronos":
                return {
                    "totalRequests": total("requests"),
                    "totalNeurons": total("neurons"),
                    "total_synapses": total("synapses"),
                    "totalCost": francs(total("cost")),
                    "currentMonth.requests": total("requests of the cycle"),
                    "currentMonth.cost": francs(total("cost of the cycle")),
                }
            case "octolens":
                return {"mentions.count": total("mentions"), "keywords.count": total("keywords")}
            case "autoposting":
                return {
                    "credits.used": total("credits of the cycle").to_integral_value(ROUND_FLOOR),
                    "aiTokens.used": total("ai_tokens of the cycle"),
                    "clips.uploaded": total("clips_uploaded of the cycle"),
                    "posts.published": self._count_posts(organization, "published", CYCLES[namespace]),
                    "posts.scheduled": self._count_posts(organization, "scheduled"),
                }
        return {
            "characters.total": total("characters of the cycle"),
            "lines.total": total("lines of the cycle"),
        }

    def _count_posts(self, organization: str, state: str, since: datetime = NOW - SPAN) -> Decimal:
        changes = [change for (owner, _), change in self._posts.items() if owner == organization]
        return Decimal(sum(at >= since and said == state for at, said in changes))


def francs(amount: Decimal) -> Decimal:
    return amount.quantize(Decimal("0.01"), ROUND_HALF_UP)


def observed(server: Server, keys: dict[str, str], *, contracts: bool) -> Figures:
    """The same numbers, as the server has them: its own usage endpoint and the one of each contract."""

    def ask(namespace: str, organization: str) -> Figures:
        meters = server.usage(organization)["meters"]
        told = {meter: meters[meter]["used"] for meter in METERS[namespace]}
        if contracts:
            told |= _contract_answer(server, namespace, organization, keys[organization])
        return {(organization, name): Decimal(value) for name, value in told.items()}

    figures: Figures = {}
    with ThreadPoolExecutor(CLIENTS) as pool:
        for answer in pool.map(ask, *zip(*PAIRS, strict=True)):
            figures |= answer
    return figures


def unequal(answered: Figures, expected: Figures) -> dict[tuple[str, str], tuple[Decimal, Decimal]]:
    assert answered.keys() == expected.keys()
    return {name: (answered[name], expected[name]) for name in expected if answered[name] != expected[name]}


ENDPOINTS = {
    "unsiloed": ("/api/v1/org/get_usage", "api-key", "{}"),
    "aitronos": ("/v1/analytics/usage/summary/aitronos-1", "x-api-key", "{}"),
    "octolens": ("/api/v2/org/usage", "authorization", "Bearer {}"),
    "autoposting": ("/usage/summary", "x-api-key", "{}"),
    "onepin": ("/api/v1/usage/summary?timezone=UTC&range=30d", "authorization", "Bearer {}"),
}


def _contract_answer(server: Server, namespace: str, organization: str, key: str) -> dict[str, Any]:
    path, header, credential = ENDPOINTS[namespace]
    answer = server.http.get(path, headers={header: credential.format(key)})
    assert answer.status_code == 200, answer.text
    body = _decoder.decode(answer.content)
    body = body.get("data", body)
    told = {}
    for name in Books().contract_figures(namespace, organization):  # the names are those of the answer
        value = body
        for part in name.split("."):
            value = value[part]
        told[name] = value
    return told


@dataclass
class Tally:
    """What a run has seen."""

    rounds: int = 0
    kills: int = 0
    kills_in_a_commit: int = 0
    acknowledged: int = 0
    lost: int = 0
    doubled: int = 0
    foreign: int = 0
    unknown_there: int = 0
    unknown_not_there: int = 0

    def __str__(self) -> str:
        return (
            f"{self.rounds} rounds, {self.kills} kills ({self.kills_in_a_commit} of them while a part was written), "
            f"{self.acknowledged} events acknowledged, {self.lost} lost, {self.doubled} doubled, "
            f"{self.foreign} never sent; requests without an answer: {self.unknown_there} were there, "
            f"{self.unknown_not_there} were not"
        )


@dataclass
class Crashes:
    """Rounds on one folder: start, hold against the books, load, kill."""

    folder: Path
    seed: int
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

    def _serve(self) -> Any:
        return serve(self.folder, now=NOW, environment=ENVIRONMENT)

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
        """Counts, in the events table itself, what is there. No server may be running."""
        engine = ChdbEngine(self.folder / "events")
        try:
            rows = engine.rows(
                "SELECT namespace, id, organization, type, toUnixTimestamp64Micro(time), data, source FROM events", {}
            )
        finally:
            engine.close()
        found: defaultdict[Identity, int] = defaultdict(int)
        for namespace, event_id, organization, kind, micros, data, source in rows:
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
            event = Sent(namespace, organization, kind, event_id, at, data)
            if source == SOURCE and self.carried.get(event.identity) == event:
                found[event.identity] += 1
            else:
                self.tally.foreign += 1
        self.tally.lost = len(self.acknowledged - found.keys())
        self.tally.doubled = sum(times > 1 for times in found.values())

    def new_id(self) -> str:
        return f"e-{next(self._numbers)}"


def post(server: Server, batch: Batch) -> dict[str, Any]:
    """Sends a request; the server has no reason to find fault with any of its events."""
    body = "[" + ",".join(event.json() for event in batch) + "]"
    headers = {"content-type": "application/json"}
    sent = server.admin("POST", "/v1/events", params={"namespace": batch[0].namespace}, content=body, headers=headers)
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
        unfinished = self._unfinished_parts()
        self._wait_for_post(0)
        time.sleep(self._crashes.some_time_s(random))
        how = random.choice(["at a moment", "in a request", "in a commit"])
        if how == "in a request":
            self._wait_for_post(self._posted)
            time.sleep(random.uniform(0, 0.012))
        elif how == "in a commit":
            self._wait_for_part(unfinished)
            time.sleep(random.uniform(0, 0.012))
        self._crashes.end(self._server)
        self._crashes.tally.kills += 1
        self._crashes.tally.kills_in_a_commit += bool(self._unfinished_parts() - unfinished)

    def _wait_for_post(self, after: int) -> None:
        with self._posting:
            self._posting.wait_for(lambda: self._posted > after, timeout=5)  # or every client has failed

    def _wait_for_part(self, before: set[str]) -> None:
        for _ in range(5_000):
            if self._unfinished_parts() - before:
                return

    def _unfinished_parts(self) -> set[str]:
        """Parts of tables that are on their way to the disk and have not got their names yet."""
        tables = [path.parent for path in (self._crashes.folder / "events" / "store").glob("*/*/format_version.txt")]
        return {entry for table in tables for entry in os.listdir(table) if entry.startswith("tmp_insert")}  # noqa: PTH208

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
            except httpx.TransportError:
                with self._lock:
                    crashes.unknown.append(batch)
                return
            assert least <= report["ingested"] <= most, report
            with self._lock:
                crashes.acknowledge(batch)

    def _some_batch(self, random: Random) -> Batch:
        namespace = random.choice(list(ORGANIZATIONS))
        earlier = self._earlier[namespace]
        return [
            random.choice(earlier)
            if earlier and random.random() < 0.1
            else some_event(random, namespace, self._crashes.new_id())
            for _ in range(random.randint(1, BIGGEST_BATCH))
        ]

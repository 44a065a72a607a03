"""A server with several shards beside one with a single shard, in turn: what they take, and what handing on costs.

The system deals out connections, so that how often a request comes to the process whose shard it is about is a matter
of luck. Costs are therefore measured with all connections at one process: that of the shard which the events and the
reads are about, and then another one, which has to hand on every request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path
from statistics import fmean

import msgspec

from meterhouse.domain.shards import ShardMap

from .load import Load, Measured, Plan, process_of
from .run import READERS, SIZES
from .servers import ADMIN, Running, meterhouse, set_up, settle, wait_until_folded
from .table import Line
from .workload import FIVE, PRODUCTS, Body, batches, posts, reads

READ = "summaries"
_PROBES = 3
_MOST_TRIES = 2_000
"""Connections until every process has taken one: with 64 processes some 300 will do."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a load came to, and the processor time that the server took for it."""

    measured: Measured
    microseconds: float
    """For each event, or for each read."""
    folded: float
    """The same, until the events were in the rollups as well."""
    of_a_request: float
    """How many events, or reads, a request is."""

    @property
    def per_s(self) -> float:
        """Events, or reads, a second."""
        return self.measured.per_s * self.of_a_request


@dataclass(slots=True)
class Turn:
    """What was measured of one server; by how events were sent, and of reads."""

    mixed: dict[str, Cost] = field(default_factory=dict)
    own: dict[str, Cost] = field(default_factory=dict)
    """Of organizations of one shard, sent to its process."""
    handed_on: dict[str, Cost] = field(default_factory=dict)
    """The same, sent to another process."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What is sent to every server, by the way of sending."""

    mixed: Mapping[str, Sequence[Body]]
    own: Mapping[str, Sequence[Body]]
    """Events of one shard."""
    handed_on: Mapping[str, Sequence[Body]]
    """Others of the same."""


class ShardRun:
    """One run in a folder of its own. Every turn has a server with one shard, and then one with all; each on a new
    folder, with the same requests."""

    def __init__(self, folder: Path, shards: int, events: int, requests: int, seconds: float):
        self._folder, self._shards, self._requests, self._seconds = folder, shards, requests, seconds
        self._map = ShardMap.even(shards)
        first = FIVE[0]
        self._shard = self._map.shard_of(first.namespace, first.organization(0))
        """Whose organizations the costs are measured with: it has at least one that is asked about."""
        self._next = 0  # of each product
        self._events = events
        ways = {name: (size, round(events * part)) for name, (size, _, part) in SIZES.items()}
        self._sent = Sent(
            {name: self._bodies(*way, None) for name, way in ways.items()},
            {name: self._bodies(*way, self._shard) for name, way in ways.items()},
            {name: self._bodies(*way, self._shard) for name, way in ways.items()},
        )
        self.client_share = 0.0

    def measure(self, turns: int) -> list[tuple[Turn, Turn]]:
        """Of each turn what one shard did, and what several did."""
        return [
            (self._turn(1, self._folder / f"one-{turn}"), self._turn(self._shards, self._folder / f"several-{turn}"))
            for turn in range(turns)
        ]

    def _turn(self, shards: int, data: Path) -> Turn:
        turn = Turn()
        with meterhouse(data, cached=False, shards=shards) as server:
            keys = set_up(server.http)
            turn.mixed = {name: self._ingest(server, bodies, name) for name, bodies in self._sent.mixed.items()}
            turn.mixed[READ] = self._read(server, reads(keys))
            near = [each for each in FIVE if self._map.shard_of(each.namespace, each.organization(0)) == self._shard]
            processes = processes_by_shard(server, shards) if shards > 1 else ("",)
            own = processes[self._shard % shards]
            turn.own = {name: self._ingest(server, bodies, name, own) for name, bodies in self._sent.own.items()}
            turn.own[READ] = self._read(server, reads(keys, near), own)
            if shards > 1:
                other, sent = processes[(self._shard + 1) % shards], self._sent.handed_on
                turn.handed_on = {name: self._ingest(server, bodies, name, other) for name, bodies in sent.items()}
                turn.handed_on[READ] = self._read(server, reads(keys, near), other)
        return turn

    def _bodies(self, size: int, events: int, shard: int | None) -> list[Body]:
        """The next events of the workload, the products in turn; only those of a shard when one is named."""
        share = max(1, events // len(PRODUCTS))
        first, self._next = self._next, self._next + share
        of = max(self._events, self._next)
        found = []
        for product in PRODUCTS:
            made = batches(product, share, size, first=first, of=of)
            kept = made if shard is None else self._of_shard(product.namespace, made, size, shard)
            found.append([(product.namespace, body) for body in kept])
        longest = max(map(len, found))
        return [each[number] for number in range(longest) for each in found if number < len(each)]

    def _of_shard(self, namespace: str, made: Iterator[bytes], size: int, shard: int) -> Iterator[bytes]:
        lines = [
            line
            for body in made
            for line in body.split(b"\n")
            if self._map.shard_of(namespace, _subject.decode(line).subject) == shard
        ]
        return (b"\n".join(lines[begin : begin + size]) for begin in range(0, len(lines), size))

    def _ingest(self, server: Running, bodies: Sequence[Body], name: str, process: str = "") -> Cost:
        settle(server)
        sending = posts(bodies, ADMIN)
        _, connections, _ = SIZES[name]
        before = server.cpu_seconds()
        measured = self._drive(Plan(server.port, connections, sending, len(sending), process=process))
        answered = server.cpu_seconds()
        wait_until_folded(server.http)
        folded = server.cpu_seconds()
        events = sum(body.count(b"\n") + 1 for _, body in bodies)
        return Cost(
            measured, (answered - before) * 1e6 / events, (folded - before) * 1e6 / events, events / len(bodies)
        )

    def _read(self, server: Running, asked: list[bytes], process: str = "") -> Cost:
        settle(server)
        self._drive(Plan(server.port, 1, asked, len(asked), process=process))
        before = server.cpu_seconds()
        plan = Plan(server.port, READERS, asked, 100 * self._requests, self._seconds, process=process)
        measured = self._drive(plan)
        microseconds = (server.cpu_seconds() - before) * 1e6 / measured.answered
        return Cost(measured, microseconds, microseconds, 1)

    def _drive(self, plan: Plan) -> Measured:
        measured = Load(plan, self._folder).finish()
        self.client_share = max(self.client_share, measured.cpu_share)
        return measured


class _Subject(msgspec.Struct):
    subject: str


_subject = msgspec.json.Decoder(_Subject)


def processes_by_shard(server: Running, shards: int) -> tuple[str, ...]:
    """What the ids of requests begin with in the process of each shard. Each process counts the requests that it
    takes, and the metrics say of which shard it is."""
    found: dict[str, int] = {}
    for _ in range(_MOST_TRIES):
        connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        process = process_of(connection)
        if process not in found:
            before = _health_requests(server)
            for _ in range(_PROBES):
                process_of(connection)
            after = _health_requests(server)
            [found[process]] = [shard for shard, count in after.items() if count - before.get(shard, 0) >= _PROBES]
        connection.close()
        if len(found) == shards:
            return tuple(sorted(found, key=found.__getitem__))
    raise SystemExit(f"only {len(found)} of {shards} processes have taken a connection")


def _health_requests(server: Running) -> dict[int, float]:
    """How often each shard's process was asked about its health."""
    counts: dict[int, float] = {}
    for line in server.http.get("/metrics").text.splitlines():
        if line.startswith("meterhouse_http_requests_total{") and 'path="/healthz"' in line:
            counts[int(line.partition('shard="')[2].partition('"')[0])] = float(line.rpartition(" ")[2])
    return counts


def lines_of_shards(turns: Sequence[tuple[Turn, Turn]]) -> list[Line]:
    """The rates of each turn, and what an event or a read costs the server's processes, on average over the turns."""
    return [*_rates(turns), *(line for name in (*SIZES, READ) for line in _costs(name, turns))]


def _rates(turns: Sequence[tuple[Turn, Turn]]) -> Iterator[Line]:
    for number, (one, several) in enumerate(turns, 1):
        for name, cost in several.mixed.items():
            what, unit = (f"{READ}, uncached", "/s") if name == READ else (f"ingest {name}", "events/s")
            yield Line(f"{what}, turn {number}", cost.per_s, unit, one.mixed[name].per_s, compared_with="one shard")


def _costs(name: str, turns: Sequence[tuple[Turn, Turn]]) -> Iterator[Line]:
    of = "a summary" if name == READ else f"an event {name}"
    one_mixed, several_mixed = [one.mixed[name] for one, _ in turns], [several.mixed[name] for _, several in turns]
    one, own = [one.own[name] for one, _ in turns], [several.own[name] for _, several in turns]
    handed_on = [several.handed_on[name] for _, several in turns]
    yield _cost(f"{of}, any", several_mixed, one_mixed, "one shard")
    if name != READ:
        figures = (fmean(cost.folded for cost in costs) for costs in (several_mixed, one_mixed))
        yield Line("  until it is in the rollups", next(figures), "µs", next(figures), compared_with="one shard")
    yield _cost(f"{of}, at the right process", own, one, "one shard")
    yield _cost(f"{of}, handed on", handed_on, own, "right process")
    apart = fmean(cost.microseconds for cost in handed_on) - fmean(cost.microseconds for cost in own)
    yield Line("  to hand on a request", apart * fmean(cost.of_a_request for cost in handed_on), "µs")


def _cost(name: str, costs: Sequence[Cost], others: Sequence[Cost], compared_with: str) -> Line:
    figure, other = (fmean(cost.microseconds for cost in those) for those in (costs, others))
    return Line(name, figure, "µs", other, compared_with=compared_with)

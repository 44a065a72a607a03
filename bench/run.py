"""The stages of a run, in order, each with the server that it needs and no other beside it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

from . import postgres, queries
from .load import Load, Measured, Plan, quantile, request
from .servers import ADMIN, COMPARATOR, Running, comparator, constant, meterhouse, set_up, settle, wait_until_folded
from .workload import FIVE, PRODUCTS, Body, batches, posts, reads

SIZES = {
    "by the thousand": (1_000, 16, 0.86),
    "by the hundred": (100, 16, 0.12),
    "one by one": (1, 64, 0.02),
}
"""How events are sent: how many a request, over how many connections, which part of those that are sent."""
READERS = 16


class Phase(StrEnum):
    """A part of a run that can be measured by itself."""

    INGEST = "ingest"
    SUMMARIES = "summaries"
    QUERIES = "queries"
    RATES = "rates"
    HTTP = "http"


CEILING_EVENTS = 100_000
[_ASKED_ABOUT] = [product for product in PRODUCTS if product.namespace == queries.NAMESPACE]


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is: see the options of the command."""

    events: int
    sent: int
    reference: int
    requests: int
    seconds: float
    history: Path | None


@dataclass(frozen=True, slots=True)
class Ingest:
    """Events a second, and how long a request took."""

    rate: float
    latency: Measured


@dataclass(slots=True)
class Comparator:
    """What was measured of PostgreSQL."""

    ingest: dict[str, Ingest]
    bytes_an_event: float
    reads: Measured | None = None
    queries: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Median and 99th percentile in milliseconds."""


@dataclass(slots=True)
class Ours:
    """What was measured of Meterhouse without its cache of answers; quantiles by product."""

    keys: dict[str, str]
    ingest: dict[str, Ingest]
    folding_seconds: float
    idle_mib: int
    most_mib: int = 0
    sent_under_reads: int = 0
    stored: int = 0
    anew: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Median and longest time in milliseconds."""
    idle: dict[str, Measured] = field(default_factory=dict)
    busy: dict[str, Measured] = field(default_factory=dict)
    reads: Measured | None = None
    queries: dict[str, Measured] = field(default_factory=dict)


@dataclass(slots=True)
class Measurements:
    """A run, or those of its phases that were measured."""

    size: Size
    engine: dict[int, float] = field(default_factory=dict)
    postgres: Comparator | None = None
    constant: dict[bool, Measured] = field(default_factory=dict)
    reference: dict[str, Measured] = field(default_factory=dict)
    ours: Ours | None = None
    fill_rate: float = 0.0
    restart_seconds: float = 0.0
    cached: Measured | None = None
    bytes_an_event: float = 0.0
    client_share: float = 0.0


class Run:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, size: Size, phases: Collection[Phase] = tuple(Phase)):
        self._folder, self._size, self._phases = folder, size, phases
        self._next = (size.events - size.sent) // len(PRODUCTS)  # of each product: what is sent follows what is filled
        self._client_share = 0.0

    def measure(self) -> Measurements:
        """Every phase that is wanted."""
        size, phases = self._size, self._phases
        run = Measurements(size)
        bodies = {name: list(self._bodies(each, size.sent * part)) for name, (each, _, part) in SIZES.items()}
        if Phase.INGEST in phases:
            run.engine = {each: self._engine_ceiling(bodies["by the thousand"], each) for each in (1_000, 10_000)}
        if {Phase.INGEST, Phase.RATES, Phase.QUERIES} & {*phases}:
            run.postgres = self._postgres(bodies)
        if {Phase.RATES, Phase.HTTP} & {*phases}:
            run.constant = {observed: self._constant(observed=observed) for observed in (False, True)}
        if Phase.SUMMARIES in phases:
            run.reference = self._reference()
        if {*phases} - {Phase.HTTP}:
            self._measure_ours(run, bodies)
        run.client_share = self._client_share
        return run

    def _measure_ours(self, run: Measurements, bodies: Mapping[str, Sequence[Body]]) -> None:
        size = self._size
        data = size.history or self._folder / "data"
        filled = size.events - size.sent
        if filled and not size.history:
            run.fill_rate = _figure("bench.fill", data, filled, size.events)
        run.ours = self._meterhouse(data, bodies)
        with meterhouse(data, cached=True) as server:
            run.restart_seconds = server.ready_after
            if Phase.RATES in self._phases:
                server.wait_until_quiet()
                run.cached = self._rate(server.port, reads(run.ours.keys))
        run.bytes_an_event = _figure("bench.on_disk", data / "events") / run.ours.stored

    def _bodies(self, size: int, events: float) -> Iterator[Body]:
        """The next events of the workload, the products in turn."""
        share = max(1, round(events / len(PRODUCTS)))
        first, self._next = self._next, self._next + share
        of = max(self._size.events // len(PRODUCTS), self._next)
        by_product = [batches(product, share, size, first=first, of=of) for product in PRODUCTS]
        for turn in zip(*by_product, strict=True):
            yield from zip((product.namespace for product in PRODUCTS), turn, strict=True)

    def _engine_ceiling(self, bodies: Sequence[Body], size: int) -> float:
        """Some of the same events straight into the engine."""
        lines = [line for _, body in bodies for line in body.split(b"\n")][:CEILING_EVENTS]
        inserts = [b"\n".join(lines[begin : begin + size]) for begin in range(0, len(lines), size)]
        path = self._folder / f"lines-{size}"
        path.write_bytes(msgspec.msgpack.encode(inserts))
        return _figure("bench.engine_ceiling", self._folder / f"ceiling-{size}", path)

    def _postgres(self, bodies: Mapping[str, Sequence[Body]]) -> Comparator:
        with postgres.running_postgres() as uri, comparator(uri) as server:
            measured = Comparator(self._ingest(server, bodies, COMPARATOR), 0.0)
            postgres.settle(uri)
            if Phase.RATES in self._phases:
                paths = [f"/v1/usage/{product.namespace}/{product.organization(0)}" for product in FIVE]
                measured.reads = self._rate(server.port, [request("GET", path, COMPARATOR) for path in paths])
            if Phase.QUERIES in self._phases:
                measured.queries = queries.time_postgres(uri, _ASKED_ABOUT.organization(0), self._size.requests)
            measured.bytes_an_event = postgres.bytes_an_event(uri)
            return measured

    def _constant(self, *, observed: bool) -> Measured:
        with constant(observed=observed) as server:
            return self._rate(server.port, [request("GET", "/constant", {})])

    def _reference(self) -> dict[str, Measured]:
        """The reads with fewer events, made in the engine."""
        data = self._folder / "reference"
        _figure("bench.fill", data, self._size.reference, self._size.reference)
        with meterhouse(data, cached=False) as server:
            keys = set_up(server.http)
            wait_until_folded(server.http)
            return self._summaries(server, keys)

    def _meterhouse(self, data: Path, bodies: Mapping[str, Sequence[Body]]) -> Ours:
        with meterhouse(data, cached=False) as server:
            keys = set_up(server.http)
            settle(server)
            idle_mib = server.memory_mib()
            ours = Ours(keys, self._ingest(server, bodies, ADMIN), wait_until_folded(server.http), idle_mib)
            if Phase.SUMMARIES in self._phases:
                settle(server)
                ours.anew = self._anew(server, keys)
                settle(server)
                ours.idle = self._summaries(server, keys)
            if Phase.QUERIES in self._phases:
                settle(server)
                ours.queries = self._queries(server)
            if Phase.RATES in self._phases:
                settle(server)
                ours.reads = self._rate(server.port, reads(keys))
            if Phase.SUMMARIES in self._phases:
                settle(server)
                load = self._half(server, ours.ingest["by the thousand"])
                ours.busy = self._summaries(server, keys)
                if not load.running:
                    raise SystemExit("the reads outlasted the ingest that they were to be measured under")
                ours.sent_under_reads = 1_000 * self._note(load.stop()).answered
                wait_until_folded(server.http)
            ours.most_mib = server.memory_mib("VmHWM")
            ours.stored = _stored(server)
            return ours

    def _ingest(
        self, server: Running, bodies: Mapping[str, Sequence[Body]], who: Mapping[str, str]
    ) -> dict[str, Ingest]:
        """Sends everything that is sent, one way after the other, each when the one before has left no work."""
        done = {}
        for name, (_, connections, _) in SIZES.items():
            settle(server)
            sending = posts(bodies[name], who)
            measured = self._drive(Plan(server.port, connections, sending, len(sending)))
            done[name] = Ingest(sum(body.count(b"\n") + 1 for _, body in bodies[name]) / measured.seconds, measured)
        return done

    def _half(self, server: Running, limit: Ingest) -> Load:
        """Starts to send events beyond those of the run, at half of what was measured as the limit."""
        seconds = len(FIVE) * (self._size.seconds + 2) + 2
        sending = posts(list(self._bodies(1_000, max(6_000, limit.rate / 2 * seconds))), ADMIN)
        return Load(Plan(server.port, 8, sending, len(sending), rate=limit.rate / 2_000), self._folder)

    def _summaries(self, server: Running, keys: Mapping[str, str]) -> dict[str, Measured]:
        """Each of the five, one after another, over one connection."""
        measured = {}
        for product, read in zip(FIVE, reads(keys), strict=True):
            self._drive(Plan(server.port, 1, [read], 3, 1))
            measured[product.namespace] = self._drive(
                Plan(server.port, 1, [read], self._size.requests, self._size.seconds)
            )
        return measured

    def _queries(self, server: Running) -> dict[str, Measured]:
        """Each kind of question, over one connection, every one another."""
        measured = {}
        for kind in queries.WANTED_MS:
            asked = [request("GET", path, ADMIN) for path in queries.paths(kind, _ASKED_ABOUT.organization(0))]
            count = min(len(asked), self._size.requests)
            measured[kind] = self._drive(Plan(server.port, 1, asked, count, self._size.seconds))
        return measured

    def _anew(self, server: Running, keys: Mapping[str, str]) -> dict[str, tuple[float, float]]:
        """Each of the five once, just after new events of the organization were folded: nothing of it is at hand."""
        took_ms: dict[str, list[float]] = {product.namespace: [] for product in FIVE}
        for _ in range(min(20, self._size.requests)):
            for namespace, body in self._bodies(100, 100 * len(PRODUCTS)):
                server.http.post("/v1/events", params={"namespace": namespace}, content=body, headers=_NDJSON)
            wait_until_folded(server.http)
            for product in FIVE:
                began = time.perf_counter()
                server.http.get(product.path, headers={product.header: keys[product.namespace]}).raise_for_status()
                took_ms[product.namespace].append(1_000 * (time.perf_counter() - began))
        return {name: (quantile(each, 0.5), max(each)) for name, each in took_ms.items()}

    def _rate(self, port: int, reads: list[bytes]) -> Measured:
        """As many as are answered, in turn, over many connections."""
        self._drive(Plan(port, 1, reads, len(reads)))
        return self._drive(Plan(port, READERS, reads, 100 * self._size.requests, self._size.seconds))

    def _drive(self, plan: Plan) -> Measured:
        return self._note(Load(plan, self._folder).finish())

    def _note(self, measured: Measured) -> Measured:
        self._client_share = max(self._client_share, measured.cpu_share)
        return measured


def _figure(module: str, *arguments: object) -> float:
    """What a module prints that needs a process of its own: a process can have one engine."""
    command = [sys.executable, "-m", module, *map(str, arguments)]
    return float(subprocess.run(command, check=True, stdout=subprocess.PIPE, timeout=7_200).stdout)


_NDJSON = {**ADMIN, "content-type": "application/x-ndjson"}


def _stored(server: Running) -> int:
    [stored] = [line for line in server.http.get("/metrics").text.splitlines() if line.startswith("meterhouse_stored")]
    return int(float(stored.split()[-1]))

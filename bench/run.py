"""The stages of a run, in order, each with the server that it needs and no other beside it."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from . import postgres
from .load import Load, Measured, Plan, quantile, request
from .servers import ADMIN, COMPARATOR, Running, comparator, constant, meterhouse, set_up, wait_until_folded
from .workload import PRODUCTS, batches

SIZES = {
    "by the thousand": (1_000, 16, 0.86),
    "by the hundred": (100, 16, 0.12),
    "one by one": (1, 64, 0.02),
}
"""How events are sent: how many a request, over how many connections, which part of those that are sent."""
READERS = 16
CEILING_EVENTS = 100_000
FIVE = PRODUCTS[:5]

Body = tuple[str, bytes]
"""A namespace, and events of it as NDJSON."""


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


@dataclass(frozen=True, slots=True)
class Comparator:
    """What was measured of PostgreSQL."""

    ingest: dict[str, Ingest]
    reads: Measured
    bytes_an_event: float


@dataclass(frozen=True, slots=True)
class Ours:
    """What was measured of Meterhouse without its cache of answers; quantiles by product."""

    keys: dict[str, str]
    ingest: dict[str, Ingest]
    anew: dict[str, tuple[float, float]]
    """Median and longest time in milliseconds."""
    idle: dict[str, Measured]
    busy: dict[str, Measured]
    reads: Measured
    folding_seconds: float
    idle_mib: int
    most_mib: int
    sent_under_reads: int
    stored: int


@dataclass(frozen=True, slots=True)
class Measurements:
    """A whole run."""

    size: Size
    engine: dict[int, float]
    postgres: Comparator
    constant: dict[bool, Measured]
    reference: dict[str, Measured]
    ours: Ours
    fill_rate: float
    restart_seconds: float
    cached: Measured
    bytes_an_event: float
    client_share: float


class Run:
    """One run in a folder of its own."""

    def __init__(self, folder: Path, size: Size):
        self._folder, self._size = folder, size
        self._next = (size.events - size.sent) // len(PRODUCTS)  # of each product: what is sent follows what is filled
        self._client_share = 0.0

    def measure(self) -> Measurements:
        """Everything."""
        size = self._size
        data = size.history or self._folder / "data"
        bodies = {name: list(self._bodies(each, size.sent * part)) for name, (each, _, part) in SIZES.items()}
        engine = {each: self._engine_ceiling(bodies["by the thousand"], each) for each in (1_000, 10_000)}
        beside = self._postgres(bodies)
        ceilings = {observed: self._constant(observed=observed) for observed in (False, True)}
        reference = self._reference()
        filled = size.events - size.sent
        fill_rate = _figure("bench.fill", data, filled, size.events) if filled and not size.history else 0.0
        ours = self._meterhouse(data, bodies)
        with meterhouse(data, cached=True) as server:
            restart = server.ready_after
            cached = self._rate(server.port, _reads(ours.keys))
        return Measurements(
            size=size,
            engine=engine,
            postgres=beside,
            constant=ceilings,
            reference=reference,
            ours=ours,
            fill_rate=fill_rate,
            restart_seconds=restart,
            cached=cached,
            bytes_an_event=_figure("bench.on_disk", data / "events") / ours.stored,
            client_share=self._client_share,
        )

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
            ingest = self._ingest(server, bodies, COMPARATOR)
            postgres.settle(uri)
            paths = [f"/v1/usage/{product.namespace}/{product.organization(0)}" for product in FIVE]
            reads = self._rate(server.port, [request("GET", path, COMPARATOR) for path in paths])
            return Comparator(ingest, reads, postgres.bytes_an_event(uri))

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
            wait_until_folded(server.http)
            idle_mib = server.memory_mib()
            ingest = self._ingest(server, bodies, ADMIN)
            folding = wait_until_folded(server.http)
            anew = self._anew(server, keys)
            idle = self._summaries(server, keys)
            reads = self._rate(server.port, _reads(keys))
            load = self._half(server, ingest["by the thousand"])
            busy = self._summaries(server, keys)
            if not load.running:
                raise SystemExit("the reads outlasted the ingest that they were to be measured under")
            sent = self._note(load.stop())
            wait_until_folded(server.http)
            most = server.memory_mib("VmHWM")
            return Ours(
                keys, ingest, anew, idle, busy, reads, folding, idle_mib, most, sent.answered * 1_000, _stored(server)
            )

    def _ingest(
        self, server: Running, bodies: Mapping[str, Sequence[Body]], who: Mapping[str, str]
    ) -> dict[str, Ingest]:
        """Sends everything that is sent, one way after the other."""
        done = {}
        for name, (_, connections, _) in SIZES.items():
            sending = _posts(bodies[name], who)
            measured = self._drive(Plan(server.port, connections, sending, len(sending)))
            done[name] = Ingest(sum(body.count(b"\n") + 1 for _, body in bodies[name]) / measured.seconds, measured)
        return done

    def _half(self, server: Running, limit: Ingest) -> Load:
        """Starts to send events beyond those of the run, at half of what was measured as the limit."""
        seconds = len(FIVE) * (self._size.seconds + 2) + 2
        sending = _posts(list(self._bodies(1_000, max(6_000, limit.rate / 2 * seconds))), ADMIN)
        return Load(Plan(server.port, 8, sending, len(sending), rate=limit.rate / 2_000), self._folder)

    def _summaries(self, server: Running, keys: Mapping[str, str]) -> dict[str, Measured]:
        """Each of the five, one after another, over one connection."""
        measured = {}
        for product, read in zip(FIVE, _reads(keys), strict=True):
            self._drive(Plan(server.port, 1, [read], 3, 1))
            measured[product.namespace] = self._drive(
                Plan(server.port, 1, [read], self._size.requests, self._size.seconds)
            )
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


def _posts(bodies: Sequence[Body], who: Mapping[str, str]) -> list[bytes]:
    headers = {**who, "content-type": "application/x-ndjson"}
    return [request("POST", f"/v1/events?namespace={namespace}", headers, body) for namespace, body in bodies]


def _reads(keys: Mapping[str, str]) -> list[bytes]:
    return [request("GET", product.path, {product.header: keys[product.namespace]}) for product in FIVE]


def _stored(server: Running) -> int:
    [stored] = [line for line in server.http.get("/metrics").text.splitlines() if line.startswith("meterhouse_stored")]
    return int(float(stored.split()[-1]))

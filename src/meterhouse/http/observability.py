"""Every request has an id, a line in the log and a place in the metrics."""

from __future__ import annotations

import logging
import time
import uuid
from bisect import bisect_left
from collections.abc import Awaitable, Iterable, Iterator
from itertools import accumulate, count
from pathlib import Path
from shutil import disk_usage

import structlog
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Message, Receive, Scope, Send
from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from ..domain.decision import Decision
from ..services.ingest import Ingest
from .alert_metrics import AlertMetrics
from .arrivals import Arrivals, Received

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_ON_EVERY_ANSWER = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
"""An answer holds for this moment and this credential, and is what its content type says."""
_OF_ASSETS = [(b"cache-control", b"public, max-age=31536000, immutable"), _ON_EVERY_ANSWER[1]]
"""What a path with the hash of its content answers never changes."""
_OURS = frozenset({b"x-request-id", *(name for name, _ in _ON_EVERY_ANSWER)})

_DURATION_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

OUTCOMES = ("ingested", "duplicates", "conflicts", "rejected")
"""What may become of an event, as a report has it."""

_PROCESS = str(uuid.uuid4())[:24]
"""The part of every request id that tells this process from all others."""
_numbers = count(1)


def new_request_id() -> str:
    """A UUID that no other request has: a random prefix of the process and the number of the request. It is no secret,
    and may be guessed."""
    return f"{_PROCESS}{next(_numbers):012x}"


class AnsweredRequests(Collector):
    """Counts and times requests in plain numbers, which cost a fifth of what Prometheus' own counters do, and turns
    them into a counter and a histogram when they are collected. Only the event loop may count."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, int], int] = {}
        self._durations: dict[str, _Durations] = {}

    def count(self, method: str, path: str, status: int, seconds: float) -> None:
        """Adds a request that was answered. `path` is the route's template, never the path itself: paths hold ids, and
        any number of unknown ones."""
        series = method, path, status
        self._counts[series] = self._counts.get(series, 0) + 1
        durations = self._durations.get(path)
        if durations is None:
            durations = self._durations[path] = _Durations()
        durations.counts[bisect_left(_DURATION_BUCKETS, seconds)] += 1
        durations.seconds += seconds

    def collect(self) -> Iterator[Metric]:
        """The metrics as they are now."""
        requests = CounterMetricFamily(
            "meterhouse_http_requests_total", "HTTP requests", labels=["method", "path", "status"]
        )
        for (method, path, status), answered in [*self._counts.items()]:
            requests.add_metric([method, path, str(status)], answered)
        duration = HistogramMetricFamily("meterhouse_http_request_duration_seconds", "Time to answer", labels=["path"])
        bounds = [*map(floatToGoString, _DURATION_BUCKETS), "+Inf"]
        for path, durations in [*self._durations.items()]:
            buckets = [*zip(bounds, accumulate(durations.counts), strict=True)]
            duration.add_metric([path], buckets, durations.seconds)
        return iter((requests, duration))


class _Durations:
    """How many requests of a path fell into each bucket, and how long all of them took together."""

    __slots__ = ("counts", "seconds")

    def __init__(self) -> None:
        self.counts = [0] * (len(_DURATION_BUCKETS) + 1)
        self.seconds = 0.0


class Metrics(AlertMetrics):
    """The figures of one server; `docs/reference/metrics.md` lists them."""

    def __init__(self, version: str = "0") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, with the time at which it began
        self.arrivals = Arrivals()
        self.registry = CollectorRegistry()
        super().__init__(self.registry)
        ProcessCollector(registry=self.registry)
        self.build = Gauge(
            "meterhouse_build_info", "Always 1; the label says what runs", ["version"], registry=self.registry
        )
        self.build.labels(version).set(1)
        self.disk_free = Gauge(
            "meterhouse_disk_free_bytes", "Room left on the disk of the data folder", registry=self.registry
        )
        self.disk_size = Gauge("meterhouse_disk_size_bytes", "Size of that disk", registry=self.registry)
        self.requests = AnsweredRequests()
        self.registry.register(self.requests)
        self.events = Counter(
            "meterhouse_events_total",
            "Events received, by namespace and what became of them",
            ["namespace", "outcome"],
            registry=self.registry,
        )
        self.refused = Counter(
            "meterhouse_ingest_refused_total", "Requests refused because too much waited", registry=self.registry
        )
        self.waiting_requests = Gauge(
            "meterhouse_ingest_waiting_requests", "Requests that wait for their commit", registry=self.registry
        )
        self.waiting_events = Gauge(
            "meterhouse_ingest_waiting_events", "Events that wait for their commit", registry=self.registry
        )
        self.commit_events = Histogram(
            "meterhouse_commit_events",
            "Events of a commit",
            buckets=(1, 10, 100, 1_000, 10_000, 50_000),
            registry=self.registry,
        )
        self.commit_duration = Histogram(
            "meterhouse_commit_duration_seconds",
            "Time a commit takes",
            buckets=(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
        self.answers = Counter(
            "meterhouse_answers_total",
            "Usage answers in the shapes of contracts, by where they came from",
            ["source"],
            registry=self.registry,
        )
        self.stored_events = Gauge("meterhouse_stored_events", "Events stored", registry=self.registry)
        self.lag_events = Gauge(
            "meterhouse_rollup_lag_events", "Events that are not materialized into rollups yet", registry=self.registry
        )
        self.losses = Gauge(
            "meterhouse_losses", "Repairs that went on without events that were lost", registry=self.registry
        )
        self.lost_events = Gauge(
            "meterhouse_lost_events",
            "Events that were lost, as far as repairs could count them",
            registry=self.registry,
        )
        self.unmatched = Counter(
            "meterhouse_events_unmatched_total", "Events ingested of types that no meter reads", registry=self.registry
        )
        self.limit_decisions = Counter(
            "meterhouse_limit_decisions_total",
            "Reservations and enforced events that were decided on",
            ["namespace", "meter", "outcome"],
            registry=self.registry,
        )
        for source in ("cache", "made"):
            self.answers.labels(source)

    def watch(self, ingest: Ingest, namespaces: Iterable[str]) -> None:
        """Follows what waits and what is committed; begins with 0 for each namespace."""
        for namespace in namespaces:
            for outcome in OUTCOMES:
                self.events.labels(namespace, outcome)

        def committed(events: int, nanoseconds: int) -> None:
            self.commit_events.observe(events)
            self.commit_duration.observe(nanoseconds / 1e9)

        ingest.on_commit = committed
        self.waiting_requests.set_function(lambda: ingest.waiting()[0])
        self.waiting_events.set_function(lambda: ingest.waiting()[1])

    def count_decision(self, namespace: str, meter: str, decision: Decision) -> None:
        """Counts a decision about a limit."""
        self.limit_decisions.labels(namespace, meter, decision.outcome).inc()

    def decisions(self, namespace: str) -> dict[tuple[str, str], int]:
        """How often something was decided about the limits of a meter or a pool, by its slug and the outcome."""
        samples = (sample for family in self.limit_decisions.collect() for sample in family.samples)
        return {
            (sample.labels["meter"], sample.labels["outcome"]): int(sample.value)
            for sample in samples
            if sample.name.endswith("_total") and sample.labels["namespace"] == namespace
        }

    def figures(self) -> dict[str, float]:
        """Every figure that has no labels, by its name."""
        samples = (sample for family in self.registry.collect() for sample in family.samples)
        return {sample.name: sample.value for sample in samples if not sample.labels}

    def received(self) -> Received:
        """What this process took in."""
        arrivals, counted = self.arrivals, dict.fromkeys(OUTCOMES, 0)
        for family in self.events.collect():
            for sample in family.samples:
                counted[sample.labels["outcome"]] += int(sample.value)
        unmatched = int(self.registry.get_sample_value("meterhouse_events_unmatched_total") or 0)
        return Received(arrivals.minutes(), arrivals.last_at_s, counted, unmatched, arrivals.refusals())

    def watch_disk(self, folder: Path) -> None:
        """Follows how much room there is where the folder is."""
        self.disk_free.set_function(lambda: disk_usage(folder).free)
        self.disk_size.set_function(lambda: disk_usage(folder).total)


class Observability:
    """Gives each request its id, and accounts for it when it is answered; also those that no route takes."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app = app
        self._answered = metrics.requests
        self._log = structlog.get_logger(__name__).bind()
        self._logs = self._log.is_enabled_for(logging.INFO)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = new_request_id()
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500

        def send_with_id(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [pair for pair in message["headers"] if pair[0].lower() not in _OURS]
                always = _OF_ASSETS if scope["state"].get("never_changes") else _ON_EVERY_ANSWER
                message["headers"] = [*headers, *always, (b"x-request-id", request_id.encode())]
            return send(message)

        # A server runs each request in a task, and a context, of its own: the binding ends with it.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            await self._app(scope, receive, send_with_id)
        finally:
            seconds = time.perf_counter() - began
            method = str(scope.get("method"))
            method = method if method in _METHODS else "other"  # anybody can invent methods; each would be a new series
            path = scope.get("path_template") or "unknown"
            self._answered.count(method, path, status, seconds)
            if self._logs:
                ms = round(seconds * 1000, 1)
                self._log.info("request", method=method, path=path, status=status, ms=ms, **_who(scope))


def _who(scope: HTTPScope) -> dict[str, str]:
    """The address that asked, and the organization that it was about as far as the path or the handler says it."""
    client, parameters = scope.get("client"), scope.get("path_params") or {}
    organization = scope["state"].get("organization") or parameters.get("organization_id")
    return {"address": client[0] if client else "", **({"organization": organization[:128]} if organization else {})}

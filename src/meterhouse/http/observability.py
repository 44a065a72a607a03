"""Every request has an id, a line in the log and a place in the metrics."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Iterable
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

from ..services.ingest import Ingest

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

_ON_EVERY_ANSWER = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
"""An answer holds for this moment and this credential, and is what its content type says."""
_OURS = frozenset({b"x-request-id", *(name for name, _ in _ON_EVERY_ANSWER)})

OUTCOMES = ("ingested", "duplicates", "conflicts", "rejected")
"""What may become of an event, as a report has it."""

_log = structlog.get_logger(__name__)
_random = random.Random()  # noqa: S311 - tells requests apart, keeps nothing secret; the system's own costs ten times more


class Metrics:
    """The figures of one server; `docs/reference/metrics.md` lists them."""

    def __init__(self, version: str = "0") -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each, with the time at which it began
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.build = Gauge(
            "meterhouse_build_info", "Always 1; the label says what runs", ["version"], registry=self.registry
        )
        self.build.labels(version).set(1)
        self.disk_free = Gauge(
            "meterhouse_disk_free_bytes", "Room left on the disk of the data folder", registry=self.registry
        )
        self.disk_size = Gauge("meterhouse_disk_size_bytes", "Size of that disk", registry=self.registry)
        self.requests = Counter(
            "meterhouse_http_requests_total", "HTTP requests", ["method", "path", "status"], registry=self.registry
        )
        self.duration = Histogram(
            "meterhouse_http_request_duration_seconds",
            "Time to answer",
            ["path"],
            buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
            registry=self.registry,
        )
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
        self.unfolded_events = Gauge(
            "meterhouse_unfolded_events", "Events that are not folded into rollups yet", registry=self.registry
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

    def watch_disk(self, folder: Path) -> None:
        """Follows how much room there is where the folder is."""
        self.disk_free.set_function(lambda: disk_usage(folder).free)
        self.disk_size.set_function(lambda: disk_usage(folder).total)


class Observability:
    """Gives each request its id, and accounts for it when it is answered; also those that no route takes."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        if scope["type"] != ScopeType.HTTP:
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        request_id = str(uuid.UUID(int=_random.getrandbits(128), version=4))
        method = str(scope.get("method"))
        method = method if method in _METHODS else "other"  # anybody can invent methods; each would be a new series
        scope.setdefault("state", {})["request_id"] = request_id
        status = 500

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = [pair for pair in message["headers"] if pair[0].lower() not in _OURS]
                message["headers"] = [*headers, *_ON_EVERY_ANSWER, (b"x-request-id", request_id.encode())]
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._app(scope, receive, send_with_id)
            finally:
                # The template, never the path itself: paths hold ids, and any number of unknown ones.
                path = scope.get("path_template") or "unknown"
                seconds = time.perf_counter() - began
                self._metrics.requests.labels(method, path, str(status)).inc()
                self._metrics.duration.labels(path).observe(seconds)
                _log.info(
                    "request", method=method, path=path, status=status, ms=round(seconds * 1000, 1), **_who(scope)
                )


def _who(scope: HTTPScope) -> dict[str, str]:
    """The address that asked, and the organization that it was about as far as the path or the handler says it."""
    client, parameters = scope.get("client"), scope.get("path_params") or {}
    organization = scope["state"].get("organization") or parameters.get("organization_id")
    return {"address": client[0] if client else "", **({"organization": organization[:128]} if organization else {})}

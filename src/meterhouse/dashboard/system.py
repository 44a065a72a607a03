"""How the server is doing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from litestar import Response, Router, get

from ..http.observability import Metrics
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from ..ports.event_store import EventStore
from .pages import Answer, Pages, View, Visit


@dataclass(frozen=True, slots=True)
class SystemPages:
    """For the operator."""

    pages: Pages
    store: EventStore
    metrics: Metrics
    version: str

    def router(self) -> Router:
        """The page."""

        @get("/system", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._page)

        return Router("/", route_handlers=[show])

    def _page(self, visit: Visit) -> Answer:
        visit.for_operator()
        told: dict[str, Any] = {
            "section": "system",
            "version": self.version,
            "stored": self.store.count(),
            "commit": self.store.latest_commit(),
            "watermark": self.store.watermark(),
            "lag": self.store.lag_events(),
            "memory": self._figure("process_resident_memory_bytes"),
            "files": self._figure("process_open_fds"),
            "disk_free": self._figure("meterhouse_disk_free_bytes"),
            "disk_size": self._figure("meterhouse_disk_size_bytes"),
            "waiting_requests": self._figure("meterhouse_ingest_waiting_requests"),
            "waiting_events": self._figure("meterhouse_ingest_waiting_events"),
            "commits": self._figure("meterhouse_commit_events_count"),
            "committed": self._figure("meterhouse_commit_events_sum"),
            "commit_ms": self._commit_ms(),
            "up_since": self._up_since(),
            "losses": self.store.losses(),
            "refusals": refusals_of(self.metrics),
        }
        return View("system.html", told)

    def _figure(self, name: str) -> float:
        return self.metrics.registry.get_sample_value(name) or 0

    def _commit_ms(self) -> float | None:
        commits = self._figure("meterhouse_commit_duration_seconds_count")
        return self._figure("meterhouse_commit_duration_seconds_sum") * 1000 / commits if commits else None

    def _up_since(self) -> datetime:
        started_s = self._figure("process_start_time_seconds") or time.time()
        return datetime.fromtimestamp(started_s, UTC)


def refusals_of(metrics: Metrics) -> list[dict[str, Any]]:
    """The latest refused events, newest first."""
    return [
        {
            "at": datetime.fromtimestamp(each.at_s, UTC),
            "namespace": each.namespace,
            "id": each.event_id,
            "code": each.code,
            "message": each.message,
        }
        for each in metrics.arrivals.refusals()
    ]

"""How the server is doing."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from litestar import Response, Router, get

from ..http.arrivals import Received
from ..http.health import Health
from ..http.query import READS_QUERY
from ..http.request import HttpRequest
from .pages import Answer, Pages, View, Visit

_STARTED = "process_start_time_seconds"


@dataclass(frozen=True, slots=True)
class SystemPages:
    """For the operator."""

    pages: Pages
    health: Health
    version: str

    def router(self) -> Router:
        """The page."""

        @get("/system", include_in_schema=False, opt=READS_QUERY)
        async def show(request: HttpRequest) -> Response[bytes]:
            return await self.pages.show(request, self._page)

        return Router("/", route_handlers=[show])

    def _page(self, visit: Visit) -> Answer:
        visit.for_operator()
        shards = self.health.states()
        states = [state for state in shards.values() if state is not None]
        own = self.health.metrics.figures()

        def figure(name: str) -> float:
            return sum(state.figures.get(name, 0) for state in states)

        commits = figure("meterhouse_commit_duration_seconds_count")
        seconds = figure("meterhouse_commit_duration_seconds_sum")
        told: dict[str, Any] = {
            "section": "system",
            "version": self.version,
            "shards": shards,
            "members": self.health.members() if self.health.members is not None else None,
            "stored": sum(state.stored for state in states),
            "commit": sum(state.latest_commit for state in states),
            "watermark": sum(state.watermark for state in states),
            "lag": sum(state.lag_events for state in states),
            "memory": figure("process_resident_memory_bytes"),
            "files": figure("process_open_fds"),
            "disk_free": own.get("meterhouse_disk_free_bytes", 0),
            "disk_size": own.get("meterhouse_disk_size_bytes", 0),
            "waiting_requests": figure("meterhouse_ingest_waiting_requests"),
            "waiting_events": figure("meterhouse_ingest_waiting_events"),
            "commits": commits,
            "committed": figure("meterhouse_commit_events_sum"),
            "commit_ms": seconds * 1000 / commits if commits else None,
            "up_since": _instant(min(state.figures.get(_STARTED, time.time()) for state in states)),
            "up_since_of": {
                number: _instant(state.figures.get(_STARTED, time.time())) for number, state in shards.items() if state
            },
            "losses": sorted((loss for state in states for loss in state.losses), key=lambda loss: loss.at),
            "refusals": refusals_of(Received.of_all([state.received for state in states])),
        }
        return View("system.html", told)


def _instant(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def refusals_of(received: Received) -> list[dict[str, Any]]:
    """The latest refused events, newest first."""
    return [
        {
            "at": datetime.fromtimestamp(each.at_s, UTC),
            "namespace": each.namespace,
            "id": each.event_id,
            "code": each.code,
            "message": each.message,
        }
        for each in received.refusals
    ]

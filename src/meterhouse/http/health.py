"""Is it up, can it serve, and how is it doing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from litestar import Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..domain.period import format_instant
from ..ports.event_store import EventStore
from ..ports.ledger import Ledger
from .observability import Metrics
from .openapi import described

_READINESS = {200: dict[str, str], 503: dict[str, str]}
_TEXT = {"text/plain": "Prometheus text"}


def health_router(store: EventStore | None, ledger: Ledger, metrics: Metrics) -> Router:
    """The three probes; none needs a key, none tells about an organization."""

    @get("/healthz", operation_id="health", tags=["Health"], security=[])
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @get("/readyz", operation_id="ready", tags=["Health"], security=[], opt=described(answers=_READINESS))
    async def readyz() -> Response[dict[str, str]]:
        """Events and ledger answer, and the disk has room; 503 names the one that does not. `lost` is there only where
        events were lost and that was accepted: since when all there are count."""
        checks: dict[str, Callable[[], object]] = {"ledger": ledger.ping}
        if store is not None:
            checks |= {"events": store.count, "disk": store.check_room}
        status = dict.fromkeys(checks, "ok")
        for name, check in checks.items():
            try:
                await asyncio.to_thread(check)
            except Exception:  # noqa: BLE001 - any failure means "not ready"; the endpoint's answer says which
                status[name] = "failing"
        ready = set(status.values()) == {"ok"}
        if store is not None and (losses := store.losses()):
            status["lost"] = f"events stored before {format_instant(losses[-1].at)}"
        return Response(status, status_code=200 if ready else 503)

    @get("/metrics", operation_id="metrics", tags=["Health"], security=[], opt=described(media=_TEXT))
    async def prometheus() -> Response[bytes]:
        """Prometheus text format."""
        if store is not None:
            metrics.stored_events.set(await asyncio.to_thread(store.count))
            metrics.lag_events.set(await asyncio.to_thread(store.lag_events))
            metrics.lost_events.set(sum(loss.events or 0 for loss in store.losses()))
            metrics.losses.set(len(store.losses()))
        return Response(generate_latest(metrics.registry), headers={"content-type": CONTENT_TYPE_LATEST})

    return Router("/", route_handlers=[healthz, readyz, prometheus])

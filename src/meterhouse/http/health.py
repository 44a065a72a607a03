"""Is it up, can it serve, and how is it doing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import msgspec
from litestar import Response, Router, get
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from ..cluster.peers import Peers
from ..domain.errors import Unavailable
from ..domain.loss import Loss
from ..domain.period import format_instant
from ..ports.chunks import Chunks
from ..ports.event_store import EventStore
from ..ports.ledger import Ledger
from ..ports.members import Members
from ..ports.whole_store import WholeStore
from .arrivals import Received
from .observability import Metrics
from .openapi import described
from .shard_metrics import labelled

_READINESS = {200: dict[str, str], 503: dict[str, str]}
_TEXT = {"text/plain": "Prometheus text"}


@dataclass(frozen=True, slots=True)
class ShardState:
    """How the process of a shard is doing; `figures` are its metrics without labels."""

    stored: int
    latest_commit: int
    watermark: int
    lag_events: int
    figures: dict[str, float]
    received: Received
    losses: list[Loss]


@dataclass(frozen=True, slots=True)
class Health:
    """How the events are, in this process and in all."""

    store: EventStore
    whole: WholeStore
    metrics: Metrics
    peers: Peers | None
    members: Callable[[], Members] | None = None
    """The nodes of the cluster; None where there is none."""

    def text(self) -> bytes:
        """The metrics of all shards; where there are several, each is labelled, and one that does not answer has
        none."""
        own = self._own_text()
        if self.peers is None:
            return own
        texts = {shard: self._asked(self.peers, shard, "metrics") for shard in self.peers.others}
        return labelled({**{shard: text for shard, text in texts.items() if text}, self.peers.own: own})

    def states(self) -> Mapping[int, ShardState | None]:
        """How each shard is doing; None for one that does not answer."""
        if self.peers is None:
            return {0: self._own_state()}
        told = {shard: self._asked(self.peers, shard, "state") for shard in self.peers.others}
        states = {shard: msgspec.json.decode(text, type=ShardState) if text else None for shard, text in told.items()}
        return dict(sorted({**states, self.peers.own: self._own_state()}.items()))

    def received(self) -> Received:
        """What all processes took in that answer."""
        return Received.of_all([state.received for state in self.states().values() if state is not None])

    def stream_text(self) -> Chunks:
        """The metrics of this process."""
        yield self._own_text()

    def stream_state(self) -> Chunks:
        """How this process is doing."""
        yield msgspec.json.encode(self._own_state())

    @staticmethod
    def _asked(peers: Peers, shard: int, name: str) -> bytes | None:
        try:
            return b"".join(peers.stream(shard, name, {}))
        except Unavailable:
            return None

    def _own_state(self) -> ShardState:
        store, metrics = self.store, self.metrics
        return ShardState(
            store.count(),
            store.latest_commit(),
            store.watermark(),
            store.lag_events(),
            metrics.figures(),
            metrics.received(),
            store.losses(),
        )

    def _own_text(self) -> bytes:
        metrics, losses = self.metrics, self.store.losses()
        metrics.stored_events.set(self.store.count())
        metrics.lag_events.set(self.store.lag_events())
        metrics.lost_events.set(sum(loss.events or 0 for loss in losses))
        metrics.losses.set(len(losses))
        return generate_latest(metrics.registry)


def health_router(ledger: Ledger, health: Health | None, metrics: Metrics) -> Router:
    """The three probes; none needs a key, none tells about an organization."""
    text = health.text if health is not None else partial(generate_latest, metrics.registry)

    @get("/healthz", operation_id="health", tags=["Health"], security=[])
    async def healthz() -> dict[str, str]:
        """The process answers."""
        return {"status": "ok"}

    @get("/readyz", operation_id="ready", tags=["Health"], security=[], opt=described(answers=_READINESS))
    async def readyz() -> Response[dict[str, str]]:
        """Events and ledger answer, and the disk has room; 503 names the one that does not. `lost` is there only where
        events were lost and that was accepted: since when all there are count."""
        checks: dict[str, Callable[[], object]] = {"ledger": ledger.ping}
        if health is not None:
            checks |= {"events": health.whole.count, "disk": health.whole.check_room}
        status = dict.fromkeys(checks, "ok")
        for name, check in checks.items():
            try:
                await asyncio.to_thread(check)
            except Exception:  # noqa: BLE001 - any failure means "not ready"; the endpoint's answer says which
                status[name] = "failing"
        ready = set(status.values()) == {"ok"}
        if ready and health is not None and (losses := await asyncio.to_thread(health.whole.losses)):
            status["lost"] = f"events stored before {format_instant(losses[-1].at)}"
        return Response(status, status_code=200 if ready else 503)

    @get("/metrics", operation_id="metrics", tags=["Health"], security=[], opt=described(media=_TEXT))
    async def prometheus() -> Response[bytes]:
        """Prometheus text format."""
        content = await asyncio.to_thread(text)
        return Response(content, headers={"content-type": CONTENT_TYPE_LATEST})

    return Router("/", route_handlers=[healthz, readyz, prometheus])

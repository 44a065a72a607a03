"""How far the rollups are, and beginning them anew; for the operator alone."""

from __future__ import annotations

import asyncio

import msgspec
from litestar import Router, delete, get

from ..ports.whole_store import WholeStore
from .authentication import Authentication


class RollupsBody(msgspec.Struct):
    """The newest commit, the watermark, and how many events were stored after it."""

    latest_commit: int
    watermark: int
    lag_events: int


def rollups_router(store: WholeStore, authentication: Authentication) -> Router:
    """Both routes."""

    def status() -> RollupsBody:
        return RollupsBody(store.latest_commit(), store.watermark(), store.lag_events())

    @get("/v1/rollups", operation_id="getRollups", tags=["Rollups"])
    async def get_rollups() -> RollupsBody:
        """How far the rollups are. They only make answers fast: events after the watermark are read one by one."""
        return await asyncio.to_thread(status)

    @delete("/v1/rollups", status_code=202, operation_id="rebuildRollups", tags=["Rollups"])
    async def rebuild_rollups() -> RollupsBody:
        """Drops everything that is derived from the events; it is made again in the background. Answers stay the same
        meanwhile, and take longer."""

        def rebuild() -> RollupsBody:
            store.rebuild()
            return status()

        return await asyncio.to_thread(rebuild)

    return Router("/", route_handlers=[get_rollups, rebuild_rollups], guards=[authentication.operator_guard()])

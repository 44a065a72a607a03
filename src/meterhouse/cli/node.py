"""A node of a cluster: it has some of the shards, each with a process of its own, and hands them over when other nodes
come or go."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

import structlog

from ..cluster.assignment import assign
from ..domain.errors import Unavailable
from ..joining import joined
from ..settings import Settings
from .listening import base_url
from .shard_process import ShardProcess, stop_in_order
from .terminal import Failed, out

if TYPE_CHECKING:
    from ..joining import Membership

_LOOKS_EVERY_S = 0.3
_DRAINS_WITHIN_S = 30
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LONG_S = 60
"""A process that ran so long is started again at once."""

_log = structlog.get_logger(__name__)


def run_node(settings: Settings) -> None:
    """Serves as a node until SIGINT or SIGTERM. Raises `FolderError` when it cannot join."""
    told = version("meterhouse")
    settings.data.mkdir(parents=True, exist_ok=True, mode=0o700)
    with joined(settings, told) as membership:
        _log.info("starting", version=told, node=membership.node, **settings.described())
        asyncio.run(Node(settings, membership).run())
        _log.info("stopped")


class Node:
    """Looks after the processes of this node's shards."""

    def __init__(self, settings: Settings, membership: Membership):
        self._settings = settings
        self._membership = membership
        self._keepers: dict[int, asyncio.Task[None]] = {}
        """By shard, what sees to its process, until it has ended."""
        self._unwanted: dict[int, asyncio.Event] = {}
        self._pauses_s: dict[int, float] = {}
        self._stopping = asyncio.Event()
        self._announced = False
        self._stands_by = False
        """Whether a server is being moved into the cluster: no node has a shard meanwhile."""

    async def run(self) -> None:
        """Joins, and returns when all processes have ended and the others know that this node is gone."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop, number)
        while not self._stopping.is_set():
            try:
                self._settle(*await asyncio.to_thread(self._look))
            except Unavailable as failure:
                _log.warning("the cluster's database does not answer; shards stay as they are", reason=str(failure))
            with_pause = asyncio.wait_for(self._stopping.wait(), _LOOKS_EVERY_S)
            await asyncio.gather(with_pause, return_exceptions=True)
        await self._tell(self._membership.leave)  # so that the others take over at once
        for unwanted in self._unwanted.values():
            unwanted.set()
        await asyncio.gather(*self._keepers.values())

    def _stop(self, number: signal.Signals) -> None:
        _log.info("stopping", signal=number.name)
        self._stopping.set()

    def _look(self) -> tuple[list[str], dict[int, str]]:
        """The nodes, and who has which shard."""
        self._membership.stay()
        arrival = self._membership.arrival()
        if (unfinished := arrival is not None and arrival.unfinished) != self._stands_by:
            self._stands_by = unfinished
            _log.warning("a server is being moved into the cluster; standing by" if unfinished else "it has moved here")
        holders = self._membership.holders()
        return [*self._membership.nodes()], {shard: each.node for shard, each in holders.items() if each.holds}

    def _settle(self, nodes: list[str], holders: dict[int, str]) -> None:
        """Begins to have the shards that this node is to have, and to hand over others."""
        count = len(self._settings.clickhouse_urls)
        wanted = dict.fromkeys(range(count), "") if self._stands_by else assign(count, nodes, holders)
        for shard, node in wanted.items():
            if node == self._membership.node and shard not in self._keepers:
                self._unwanted[shard] = asyncio.Event()
                self._keepers[shard] = asyncio.create_task(self._keep(shard))
            elif node != self._membership.node and shard in self._unwanted:
                self._unwanted[shard].set()

    async def _keep(self, shard: int) -> None:
        """Has a shard until another node is to have it, or its process ends."""
        try:
            await asyncio.sleep(self._pauses_s.get(shard, 0))
            await self._have(shard)
        except Failed as failure:
            _log.error("a shard does not start", shard=shard, reason=str(failure))
        finally:
            del self._keepers[shard], self._unwanted[shard]

    async def _have(self, shard: int) -> None:
        process = await ShardProcess.start(shard, None, self._settings)
        ended = asyncio.create_task(process.ended())
        unwanted = asyncio.create_task(self._unwanted[shard].wait())
        try:
            opened = asyncio.create_task(self._open(process))
            await asyncio.wait((opened, unwanted), return_when=asyncio.FIRST_COMPLETED)
            if opened.done():
                opened.result()
                await asyncio.wait((ended, unwanted), return_when=asyncio.FIRST_COMPLETED)
            if unwanted.done():
                opened.cancel()
                await stop_in_order([process], _DRAINS_WITHIN_S)
                _log.info("a shard was handed over", shard=shard)
        finally:
            code = await ended
            if not unwanted.done():
                unwanted.cancel()
                _log.error("a shard has ended and is started again", shard=shard, exit_code=code)
                self._pause(shard, process)
                await self._tell(lambda: self._membership.ended(shard))

    async def _open(self, process: ShardProcess) -> None:
        await process.ready()
        await process.open()
        if not self._announced:
            self._announced = True
            url = base_url(self._settings)
            _log.info("listening", url=url)
            out.print(f"Meterhouse listens on {url} as the node {self._membership.node} of a cluster (docs at /docs)")

    def _pause(self, shard: int, process: ShardProcess) -> None:
        pause_s = 0.0 if process.ran_s > _LONG_S else self._pauses_s.get(shard, 0)
        self._pauses_s[shard] = min(max(2 * pause_s, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)

    @staticmethod
    async def _tell(news: Callable[[], None]) -> None:
        try:
            await asyncio.to_thread(news)
        except Unavailable as failure:
            _log.warning("the others could not be told; they notice when the lease ends", reason=str(failure))

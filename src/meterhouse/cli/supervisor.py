"""Serving a data folder with several processes, one for each shard: starting them, starting one again that died, and
stopping all of them in order."""

from __future__ import annotations

import asyncio
import signal
import tempfile
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import structlog

from ..offline import shards_prepared
from ..settings import Settings, new_admin_key
from .listening import base_url, show_admin_key
from .shard_process import ShardProcess, stop_in_order
from .terminal import Failed, out

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LONG_S = 60
"""A process that ran so long is started again at once."""
_DRAINS_WITHIN_S = 30

_log = structlog.get_logger(__name__)


def supervise(settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; requests that are under way are answered first. Raises `FolderError`, and
    `Failed` when a shard does not start."""
    with shards_prepared(settings) as (count, announce), _folder_of_sockets() as sockets:
        if settings.admin_key is None:
            admin_key = new_admin_key()
            settings = replace(settings, admin_key=admin_key)
            show_admin_key(admin_key)
        settings = replace(settings, shards=count)
        _log.info("starting", version=version("meterhouse"), **settings.described())
        asyncio.run(Supervisor(settings, count, Path(sockets), announce).run())
        _log.info("stopped")


def _folder_of_sockets() -> tempfile.TemporaryDirectory[str]:
    """Not in the data folder: the path of a socket may have about a hundred characters."""
    return tempfile.TemporaryDirectory(prefix="meterhouse-", ignore_cleanup_errors=True)


class Supervisor:
    """Looks after the processes of all shards."""

    def __init__(self, settings: Settings, count: int, sockets: Path, announce: Callable[[str], None]):
        """`announce` is told the URL when all answer there."""
        self._announce = announce
        self._settings = settings
        self._count = count
        self._sockets = sockets
        self._running: dict[int, ShardProcess] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Starts all, and returns when all have ended."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._stop_all, number)
        stopped = asyncio.create_task(self._stopping.wait())
        serving = asyncio.create_task(self._serve())
        try:
            await asyncio.wait((stopped, serving), return_when=asyncio.FIRST_COMPLETED)
            if serving.done():
                serving.result()
        finally:
            serving.cancel()
            await self._stop()

    async def _serve(self) -> None:
        shards = range(self._count)
        await asyncio.gather(*(self._start(shard) for shard in shards))
        await asyncio.gather(*(self._running[shard].open() for shard in shards))  # when all can be asked
        url = base_url(self._settings)
        self._announce(url)
        _log.info("listening", url=url)
        out.print(f"Meterhouse listens on {url} with {self._count} shards (docs at /docs)")
        await asyncio.gather(*(self._keep(shard) for shard in shards))

    def _stop_all(self, number: signal.Signals) -> None:
        _log.info("stopping", signal=number.name)
        self._stopping.set()

    async def _start(self, shard: int) -> None:
        """Starts a shard's process; returns when it answers the others. Raises `Failed` when it ends before."""
        process = self._running[shard] = await ShardProcess.start(shard, self._sockets, self._settings)
        await process.ready()

    async def _keep(self, shard: int) -> None:
        """Starts a shard's process again whenever it ends."""
        pause_s = _FIRST_PAUSE_S
        while True:
            process = self._running[shard]
            code = await process.ended()
            _log.error("a shard has ended and is started again", shard=shard, exit_code=code)
            if process.ran_s > _LONG_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                await self._start(shard)
                await self._running[shard].open()
            except Failed as failure:
                _log.error("a shard does not start", reason=str(failure))

    async def _stop(self) -> None:
        await stop_in_order([each for each in self._running.values() if each.running], _DRAINS_WITHIN_S)

"""Serving a data folder with several processes, one for each shard: starting them, starting one again that died, and
stopping all of them in order."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path

import structlog

from ..offline import shards_prepared
from ..settings import Settings, new_admin_key
from .listening import base_url, show_admin_key
from .shard_line import DRAINED, GO, LISTENING, READY, heard
from .terminal import Failed, out

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_LONG_S = 60
"""A process that ran so long is started again at once."""
_DRAINS_WITHIN_S = 30
_ENDS_WITHIN_S = 60

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


@dataclass(slots=True)
class _Running:
    process: asyncio.subprocess.Process
    line: socket.socket
    began_s: float


class Supervisor:
    """Looks after the processes of all shards."""

    def __init__(self, settings: Settings, count: int, sockets: Path, announce: Callable[[str], None]):
        """`announce` is told the URL when all answer there."""
        self._announce = announce
        self._settings = settings
        self._count = count
        self._sockets = sockets
        self._running: dict[int, _Running] = {}
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
        await asyncio.gather(*(self._open(shard) for shard in shards))  # when all can be asked
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
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "meterhouse.cli.shard",
                str(shard),
                str(self._sockets),
                str(theirs.fileno()),
                env={**os.environ, **self._settings.environment()},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # what is typed at a terminal comes to the supervisor alone
            )
        ours.settimeout(0)
        self._running[shard] = _Running(process, ours, time.monotonic())
        if not await heard(ours, READY):
            raise Failed(f"shard {shard} has not started (exit code {await process.wait()})")

    async def _open(self, shard: int) -> None:
        """Lets clients come to a shard's process. Raises `Failed` when it ends before."""
        running = self._running[shard]
        with suppress(ConnectionError):
            running.line.send(GO)
        if not await heard(running.line, LISTENING):
            raise Failed(f"shard {shard} has ended as it began (exit code {await running.process.wait()})")

    async def _keep(self, shard: int) -> None:
        """Starts a shard's process again whenever it ends."""
        pause_s = _FIRST_PAUSE_S
        while True:
            running = self._running[shard]
            code = await running.process.wait()
            running.line.close()
            _log.error("a shard has ended and is started again", shard=shard, exit_code=code)
            if time.monotonic() - running.began_s > _LONG_S:
                pause_s = _FIRST_PAUSE_S
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
            try:
                await self._start(shard)
                await self._open(shard)
            except Failed as failure:
                _log.error("a shard does not start", reason=str(failure))

    async def _stop(self) -> None:
        """First no process takes requests of clients any more, then none answers another, then all end."""
        running = [each for each in self._running.values() if each.process.returncode is None]
        for each in running:
            each.process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            drained = asyncio.gather(*(heard(each.line, DRAINED) for each in running))
            await asyncio.wait_for(drained, _DRAINS_WITHIN_S)
        for each in running:
            each.line.close()
        for each in running:
            try:
                await asyncio.wait_for(each.process.wait(), _ENDS_WITHIN_S)
            except TimeoutError:
                each.process.kill()

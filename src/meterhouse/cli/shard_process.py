"""The process of a shard, as its supervisor has it."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from ..settings import Settings
from .shard_line import DRAINED, GO, LISTENING, READY, heard
from .terminal import Failed

_ENDS_WITHIN_S = 60


class ShardProcess:
    """A process that has been started; it may have ended meanwhile."""

    def __init__(self, shard: int, process: asyncio.subprocess.Process, line: socket.socket):
        self._shard = shard
        self._process = process
        self._line = line
        self._began_s = time.monotonic()

    @classmethod
    async def start(cls, shard: int, sockets: Path | None, settings: Settings) -> ShardProcess:
        """Starts a shard's process. `sockets` is the folder of those of all shards, when they are on one machine."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "meterhouse.cli.shard",
                str(shard),
                str(sockets or ""),
                str(theirs.fileno()),
                env={**os.environ, **settings.environment()},
                pass_fds=(theirs.fileno(),),
                start_new_session=True,  # what is typed at a terminal comes to the supervisor alone
            )
        ours.settimeout(0)
        return cls(shard, process, ours)

    async def ready(self) -> None:
        """Waits until it answers other processes. Raises `Failed` when it ends before."""
        if not await heard(self._line, READY):
            raise Failed(f"shard {self._shard} has not started (exit code {await self._process.wait()})")

    async def open(self) -> None:
        """Lets clients come to it. Raises `Failed` when it ends before."""
        with suppress(ConnectionError):
            self._line.send(GO)
        if not await heard(self._line, LISTENING):
            raise Failed(f"shard {self._shard} has ended as it began (exit code {await self._process.wait()})")

    async def ended(self) -> int:
        """Waits until it has ended; answers its exit code."""
        code = await self._process.wait()
        self._line.close()
        return code

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self._process.returncode is None

    @property
    def ran_s(self) -> float:
        """How many seconds ago it was started."""
        return time.monotonic() - self._began_s

    async def drain(self) -> None:
        """Has it take no requests of clients any more; waits until it has answered those that were under way."""
        with suppress(ProcessLookupError):  # it has just ended
            self._process.send_signal(signal.SIGTERM)
        await heard(self._line, DRAINED)

    def dismiss(self) -> None:
        """Has a drained process end: nobody will ask it any more."""
        self._line.close()

    async def end(self) -> None:
        """Waits until a dismissed process has ended; kills one that does not."""
        try:
            await asyncio.wait_for(self._process.wait(), _ENDS_WITHIN_S)
        except TimeoutError:
            self._process.kill()
            await self._process.wait()


async def stop_in_order(processes: list[ShardProcess], within_s: float) -> None:
    """First none takes requests of clients any more, then none answers another, then all end."""
    with suppress(TimeoutError):
        await asyncio.wait_for(asyncio.gather(*(each.drain() for each in processes)), within_s)
    for each in processes:
        each.dismiss()
    await asyncio.gather(*(each.end() for each in processes))

"""The process of one of several shards: `python -m meterhouse.cli.shard`, which the supervisor starts.

It is told to stop by SIGTERM, and then takes no requests of clients any more; it answers the other shards until the
supervisor closes the line between them, which also happens when the supervisor dies.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server
from litestar.types import ASGIApp

from ..domain.errors import MeterhouseError
from ..settings import Settings, from_environment
from ..standing import Place, node_host
from ..wiring import Meterhouse, open_meterhouse
from .listening import most_connections, public_server
from .logs import configure_logging
from .shard_line import DRAINED, GO, LISTENING, READY, heard
from .terminal import errors

_LOOKS_EVERY_S = 0.005
SUPERSEDED = 75
"""The exit code of a process whose shard another has taken."""


def main() -> int:
    """Serves the shard that the arguments name. Its settings are those of the environment."""
    shard, line = int(sys.argv[1]), socket.socket(fileno=int(sys.argv[3]))
    sockets = Path(sys.argv[2]) if sys.argv[2] else None
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = from_environment()
    configure_logging(settings.log_level, shard=shard)
    try:
        with open_meterhouse(settings, place=Place(shard, sockets, _superseded)) as meterhouse:
            uvloop.run(_serve(meterhouse, settings, _Private(shard, sockets, settings), line))
    except MeterhouseError as wrong:
        errors.print(f"error: shard {shard}: {wrong}", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


def _superseded() -> NoReturn:
    """Ends at once: what this process knows is not all that there is, and what it has not told is in the journal."""
    os._exit(SUPERSEDED)


class _Private:
    """Where a process answers the others: a socket of the machine, or an address of its network."""

    def __init__(self, shard: int, sockets: Path | None, settings: Settings):
        self._path = sockets / str(shard) if sockets is not None else None
        self._host = "" if sockets is not None else settings.node_listen or socket.gethostbyname(node_host(settings))
        self._port = settings.node_port + shard

    def server(self, app: ASGIApp) -> Server:
        """The server of other processes."""
        place: dict[str, Any] = {"address": self._host, "port": self._port}
        if self._path is not None:
            self._path.unlink(missing_ok=True)  # one that died has left it
            place = {"uds": self._path}
        return Server(
            app,
            **place,
            interface=Interfaces.ASGI,
            http=HTTPModes.http1,
            backlog=1024,
            websockets=False,
            log_enabled=False,
        )

    async def answers(self, answering: asyncio.Task[None]) -> None:
        """Waits until the server takes connections, a moment after it has begun. Raises what it raises."""
        while not answering.done():
            with suppress(OSError):
                _, writer = await (
                    asyncio.open_unix_connection(self._path)
                    if self._path is not None
                    else asyncio.open_connection(self._host, self._port)
                )
                writer.close()
                return
            await asyncio.sleep(_LOOKS_EVERY_S)
        answering.result()

    def clean(self) -> None:
        """Removes what the server has left."""
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            with suppress(OSError):  # others are in it
                self._path.parent.rmdir()


async def _serve(meterhouse: Meterhouse, settings: Settings, place: _Private, line: socket.socket) -> None:
    assert meterhouse.peers is not None  # there are several processes
    assert meterhouse.of_shards is not None
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    line.settimeout(0)
    private = place.server(meterhouse.of_shards)
    public = public_server(meterhouse, settings, most_connections(settings.max_connections))

    def stop() -> None:
        meterhouse.interrupt()
        stopping.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    meterhouse.peers.open()
    gc.collect()
    gc.freeze()  # see `listening.run`
    public.on_startup(lambda: line.send(LISTENING))
    answering = asyncio.create_task(private.serve())
    await place.answers(answering)
    line.send(READY)
    if await heard(line, GO):
        meterhouse.begin()
        cut = asyncio.create_task(heard(line, b"nothing more"))
        cut.add_done_callback(lambda _: stop())
        listening = asyncio.create_task(public.serve())
        ended = asyncio.create_task(stopping.wait())
        await asyncio.wait((listening, ended), return_when=asyncio.FIRST_COMPLETED)
        public.stop()  # type: ignore[no-untyped-call] # Granian leaves it without types
        await listening
        if not cut.done():
            line.send(DRAINED)
            await cut
    private.stop()  # type: ignore[no-untyped-call] # the same
    await answering
    await meterhouse.peers.close()
    place.clean()


if __name__ == "__main__":
    sys.exit(main())

"""The process of one of several shards: `python -m meterhouse.cli.shard`, which the supervisor starts.

It is told to stop by SIGTERM, and then takes no requests of clients any more; it answers the other shards until the
supervisor closes the line between them, which also happens when the supervisor dies.
"""

from __future__ import annotations

import asyncio
import gc
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.server.embed import Server

from ..cluster.peers import socket_of
from ..domain.errors import MeterhouseError
from ..settings import Settings, from_environment
from ..wiring import Meterhouse, Place, open_meterhouse
from .listening import most_connections, public_server
from .logs import configure_logging
from .shard_line import DRAINED, GO, LISTENING, READY, heard
from .terminal import errors

_LOOKS_EVERY_S = 0.005


def main() -> int:
    """Serves the shard that the arguments name. Its settings are those of the environment."""
    shard, sockets, line = int(sys.argv[1]), Path(sys.argv[2]), socket.socket(fileno=int(sys.argv[3]))
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = from_environment()
    configure_logging(settings.log_level, shard=shard)
    try:
        with open_meterhouse(settings, place=Place(shard, sockets)) as meterhouse:
            uvloop.run(_serve(meterhouse, settings, socket_of(sockets, shard), line))
    except MeterhouseError as wrong:
        errors.print(f"error: shard {shard}: {wrong}", markup=False, highlight=False, soft_wrap=True)
        return 1
    return 0


async def _serve(meterhouse: Meterhouse, settings: Settings, path: Path, line: socket.socket) -> None:
    assert meterhouse.peers is not None  # there are several shards
    loop, stopping = asyncio.get_running_loop(), asyncio.Event()
    line.settimeout(0)
    path.unlink(missing_ok=True)  # one that died has left it
    private = Server(
        meterhouse.of_shards,
        uds=path,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        backlog=1024,
        websockets=False,
        log_enabled=False,
    )
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
    await _answers(path, answering)
    line.send(READY)
    if await heard(line, GO):
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
    path.unlink(missing_ok=True)
    with suppress(OSError):  # others are in it
        path.parent.rmdir()


async def _answers(path: Path, answering: asyncio.Task[None]) -> None:
    """Waits until a server takes connections, a moment after it has begun. Raises what it raises."""
    while not answering.done():
        with suppress(OSError):
            _, writer = await asyncio.open_unix_connection(path)
            writer.close()
            return
        await asyncio.sleep(_LOOKS_EVERY_S)
    answering.result()


if __name__ == "__main__":
    sys.exit(main())

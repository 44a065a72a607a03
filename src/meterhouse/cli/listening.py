"""The network side of a server: its address, how many connections it holds, and for how long."""

from __future__ import annotations

import asyncio
import errno
import gc
import resource
import signal
import socket
from typing import TYPE_CHECKING

import structlog

from ..settings import Settings
from .terminal import Failed, errors, out

if TYPE_CHECKING:
    from granian.server.embed import Server

    from ..wiring import Meterhouse

_OTHER_FILES = 1024
"""Open files that are no connections: the engine's, the ledger's, the journal's."""
_FEWEST_CONNECTIONS = 128

_log = structlog.get_logger(__name__)


def check_port(settings: Settings) -> None:
    """Raises `Failed` when somebody listens there already: the server itself would share the port silently."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except (OSError, UnicodeError) as wrong:
            of_port = isinstance(wrong, OSError) and wrong.errno in (errno.EADDRINUSE, errno.EACCES)
            hint = "--port or METERHOUSE_PORT" if of_port else "--host or METERHOUSE_HOST"
            reason = wrong.strerror if isinstance(wrong, OSError) else "that is no address"
            raise Failed(
                f"cannot listen on {settings.host} port {settings.port}: {reason}; choose another with {hint}"
            ) from None


def show_admin_key(admin_key: str) -> None:
    """Says the key that was made for this run."""
    out.print(f"admin key (shown once, set METERHOUSE_ADMIN_KEY to keep one): {admin_key}", soft_wrap=True)


def base_url(settings: Settings) -> str:
    """Where a server with these settings is found."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    return f"http://{host}:{settings.port}"


def run(meterhouse: Meterhouse, settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; requests that are under way are answered first."""
    import uvloop  # noqa: PLC0415 - only a server needs the loop

    connections = most_connections(settings.max_connections)

    async def listen() -> None:
        server = public_server(meterhouse, settings, connections)
        loop = asyncio.get_running_loop()

        def stop(number: signal.Signals) -> None:
            _log.info("stopping", signal=number.name)
            meterhouse.interrupt()
            server.stop()  # type: ignore[no-untyped-call] # Granian leaves it without types

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop, number)
        url = base_url(settings)
        gc.collect()
        gc.freeze()  # what is there stays: looking through it again and again takes Python a tenth of a second each
        server.on_startup(lambda: meterhouse.announce(url))
        meterhouse.begin()
        server.on_startup(lambda: _log.info("listening", url=url, connections=connections))
        server.on_startup(lambda: out.print(f"Meterhouse listens on {url} (docs at /docs)"))
        await server.serve()

    _log.info("starting", version=meterhouse.version, **settings.described())
    uvloop.run(listen())
    _log.info("stopped")


def public_server(meterhouse: Meterhouse, settings: Settings, connections: int) -> Server:
    """The server of clients. Several processes may have one on the same address: the system deals out connections."""
    from granian.constants import HTTPModes, Interfaces  # noqa: PLC0415 - only a server needs the server
    from granian.http import HTTP1Settings  # noqa: PLC0415 - the same
    from granian.server.embed import Server  # noqa: PLC0415 - the same

    return Server(
        meterhouse.app,
        address=settings.host,
        port=settings.port,
        interface=Interfaces.ASGI,
        # Guessing the version of HTTP, the server would wait for the first byte without a limit.
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(header_read_timeout=settings.idle_timeout_seconds * 1000),
        backlog=connections,
        backpressure=connections,
        websockets=False,
        log_enabled=False,
    )


def most_connections(wanted: int) -> int:
    """How many connections the limit of open files leaves room for, once it is raised as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHER_FILES
    if soft != resource.RLIM_INFINITY and soft < needed:
        soft = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return wanted
    possible = max(_FEWEST_CONNECTIONS, soft - _OTHER_FILES)
    errors.print(
        f"only {possible} of {wanted} connections: a process may open {soft} files here; raise the hard limit "
        "(ulimit -Hn), or lower METERHOUSE_MAX_CONNECTIONS",
        soft_wrap=True,
    )
    return min(wanted, possible)

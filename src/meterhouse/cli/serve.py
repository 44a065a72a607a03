"""`meterhouse serve` and `meterhouse demo`."""

from __future__ import annotations

import asyncio
import errno
import gc
import signal
import socket
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter, validators

from ..domain.errors import Invalid
from ..domain.period import parse_instant
from ..settings import Settings, from_environment
from .terminal import Failed, out

if TYPE_CHECKING:
    from ..wiring import Meterhouse

Port = Annotated[int, Parameter(validator=validators.Number(gte=1, lte=65535))]


def register(app: App) -> None:
    """Adds the commands."""
    app.command(serve)
    app.command(demo)


def serve(
    *,
    data: Path | None = None,
    host: str | None = None,
    port: Port | None = None,
    now: str | None = None,
    catalog: Annotated[tuple[Path, ...], Parameter(negative="")] = (),
) -> None:
    """Serves a data folder until it is told to stop.

    Parameters
    ----------
    data
        The data folder; made when there is none. METERHOUSE_DATA, else ./meterhouse-data.
    host
        The address to listen on. METERHOUSE_HOST, else 127.0.0.1.
    port
        The port to listen on. METERHOUSE_PORT, else 8000.
    now
        Freezes the clock at an RFC 3339 instant, for tests and demos.
    catalog
        A catalog file; may be repeated. The five built-in ones when none is named.
    """
    from ..wiring import open_meterhouse  # noqa: PLC0415 - see `target`

    settings = from_environment()
    settings = replace(
        settings,
        data=data or settings.data,
        host=host or settings.host,
        port=settings.port if port is None else port,
        now=_instant(now) or settings.now,
        catalogs=catalog or settings.catalogs,
    )
    check_port(settings)
    with open_meterhouse(settings) as meterhouse:
        if meterhouse.generated_admin_key:
            out.print(
                f"admin key (shown once, set METERHOUSE_ADMIN_KEY to keep one): {meterhouse.admin_key}", soft_wrap=True
            )
        run(meterhouse, settings)


def demo(
    *, port: Port | None = None, data: Path = Path("meterhouse-demo"), now: str | None = None, once: bool = False
) -> None:
    """Fills a year of usage for five organizations, one per product, and serves it.

    Parameters
    ----------
    port
        The port to listen on. METERHOUSE_PORT, else 8000.
    data
        The folder of the demo; filled again only with what is missing.
    now
        Freezes the clock at an RFC 3339 instant.
    once
        Fill, print the five answers, and exit.
    """
    from ..wiring import open_meterhouse  # noqa: PLC0415 - see `target`
    from .client import client_of  # noqa: PLC0415 - see `target`
    from .showcase import fill, print_answers, print_guide  # noqa: PLC0415 - with it come contracts

    settings = from_environment()
    settings = replace(
        settings,
        data=data,
        port=settings.port if port is None else port,
        now=_instant(now) or settings.now,
        catalogs=(),
    )
    if not once:
        check_port(settings)
    with open_meterhouse(settings) as meterhouse:
        with client_of(meterhouse) as client:
            shown = fill(client, settings.now)
            if once:
                print_answers(client, shown)
            else:
                print_guide(client, shown, settings, meterhouse.admin_key)
        if not once:
            run(meterhouse, settings)


def _instant(now: str | None) -> datetime | None:
    try:
        return None if now is None else parse_instant(now)
    except Invalid as wrong:
        raise Failed(f"--now: {wrong}") from None


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


def run(meterhouse: Meterhouse, settings: Settings) -> None:
    """Serves until SIGINT or SIGTERM; requests that are under way are answered first."""
    from granian.constants import Interfaces  # noqa: PLC0415 - only a server needs the server
    from granian.server.embed import Server  # noqa: PLC0415 - the same

    async def listen() -> None:
        server = Server(
            meterhouse.app,
            address=settings.host,
            port=settings.port,
            interface=Interfaces.ASGI,
            websockets=False,
            log_enabled=False,
        )
        loop = asyncio.get_running_loop()
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signal_number, server.stop)
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        gc.collect()
        gc.freeze()  # what is there stays: looking through it again and again takes Python a tenth of a second each
        server.on_startup(lambda: out.print(f"Meterhouse listens on http://{host}:{settings.port} (docs at /docs)"))
        await server.serve()

    asyncio.run(listen())

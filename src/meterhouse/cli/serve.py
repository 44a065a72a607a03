"""`meterhouse serve` and `meterhouse demo`."""

from __future__ import annotations

import signal
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter, validators

from ..domain.errors import Invalid
from ..domain.period import parse_instant
from ..settings import from_environment
from .listening import check_port, run, show_admin_key
from .terminal import Failed

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
    shards: Annotated[int | None, Parameter(validator=validators.Number(gte=1, lte=64))] = None,
) -> None:
    """Serves a data folder until SIGINT or SIGTERM. SIGHUP is ignored.

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
    shards
        How many processes share the organizations of a new folder. METERHOUSE_SHARDS, else 1; a folder that is there
        keeps its number, which `meterhouse reshard` changes.
    """
    from ..offline import has_shards  # noqa: PLC0415 - see `target`
    from ..wiring import open_meterhouse  # noqa: PLC0415 - the same
    from .node import run_node  # noqa: PLC0415 - the same
    from .supervisor import supervise  # noqa: PLC0415 - the same

    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    settings = from_environment()
    settings = replace(
        settings,
        data=data or settings.data,
        host=host or settings.host,
        port=settings.port if port is None else port,
        now=_instant(now) or settings.now,
        catalogs=catalog or settings.catalogs,
        shards=shards or settings.shards,
    )
    check_port(settings)
    if settings.cluster_url is not None:
        run_node(settings)
        return
    if (settings.shards or 1) > 1 or has_shards(settings.data):
        supervise(settings)
        return
    with open_meterhouse(settings) as meterhouse:
        if meterhouse.generated_admin_key:
            show_admin_key(meterhouse.admin_key)
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

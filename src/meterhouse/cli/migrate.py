"""`meterhouse migrate`: a running server becomes a cluster."""

from __future__ import annotations

from dataclasses import replace
from importlib.metadata import version
from typing import TYPE_CHECKING

from cyclopts import App
from rich.filesize import decimal

from ..settings import from_environment
from .target import Target, connect
from .terminal import Failed, errors, out

if TYPE_CHECKING:
    from ..migrating import Migrated

_LOCAL = Target()


def register(app: App) -> None:
    """Adds the command."""
    app.command(migrate)


def migrate(*, target: Target = _LOCAL) -> None:
    """Moves a running server of one shard into a new cluster, which the environment names as it does for nodes.

    Events are copied while the server serves. It pauses for the last of them and for the ledger, and then answers that
    it has moved; nodes of the cluster serve from then on. Whatever ends the command, the same one can be repeated.

    Name the server with --url. With --data alone, only what an attempt has left unsaid is said: that the server of that
    folder has moved.
    """
    try:
        from ..migrating import finish  # noqa: PLC0415 - see `target`
        from ..migrating import migrate as move  # noqa: PLC0415 - see `target`
        from .source import RunningServer  # noqa: PLC0415 - see `target`
    except ModuleNotFoundError as missing:
        raise Failed(f"a cluster needs {missing.name}: pip install 'meterhouse[cluster]'") from None
    settings = from_environment()
    settings = replace(settings, data=target.data, catalogs=target.catalog or settings.catalogs)
    told = version("meterhouse")
    if target.url is None:
        if not finish(settings, told):
            raise Failed("name the running server with --url or METERHOUSE_URL")
        moved = None
    else:
        with connect(target, engine=True) as client:
            source = RunningServer(client, lambda: connect(target, engine=True))
            moved = move(settings, told, source, _tell)
    out.print(_said(moved), markup=False, highlight=False, soft_wrap=True)


def _tell(news: str) -> None:
    errors.print(news, markup=False, highlight=False, soft_wrap=True)


def _said(moved: Migrated | None) -> str:
    if moved is None:
        return "the server had moved already, and the cluster knows it now: start its nodes"
    pace, size = moved.events / max(moved.copying_s, 0.001), decimal(moved.data_bytes)
    return (
        f"{moved.events:,} events ({size}) moved in {moved.copying_s:.1f} s, {pace:,.0f} a second. "
        f"The server paused for {moved.pause_s:.2f} s. The nodes of the cluster serve from now on: stop the server"
    )

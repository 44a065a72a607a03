"""`meterhouse rebuild`."""

from __future__ import annotations

import time

from cyclopts import App

from .target import Target, connect
from .terminal import out

_LOCAL = Target()
_POLL_SECONDS = 0.2


def register(app: App) -> None:
    """Adds the command."""
    app.command(rebuild)


def rebuild(*, target: Target = _LOCAL) -> None:
    """Drops everything that is derived from the events, and waits until it is made again. Answers stay the same."""
    with connect(target, engine=True) as client:
        begun = client.call("DELETE", "/v1/rollups")
        with out.status("folding"):
            while client.call("GET", "/v1/rollups")["watermark"] < begun["latest_commit"]:
                time.sleep(_POLL_SECONDS)
    out.print(f"rebuilt from {begun['lag_events']:,} events")

"""When a commit is stored."""

from __future__ import annotations

from datetime import datetime, timedelta

import structlog

_log = structlog.get_logger(__name__)

_CLOCK_SET_BACK = timedelta(days=7)
"""How far a clock may go back and commits still count as stored in their order."""


def stored_at_after(latest: datetime, received_at: datetime) -> datetime:
    """When the next commit is stored: never before the latest one when the clock was set back a little, because what
    was known at an instant is told by it. One that was set back by more had been wrong until then."""
    if (ahead := latest - received_at) <= _CLOCK_SET_BACK:
        return max(received_at, latest)
    _log.warning("the clock was ahead: what was stored meanwhile counts as known from now on", ahead=str(ahead))
    return received_at

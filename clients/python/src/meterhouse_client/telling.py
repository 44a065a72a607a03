"""Telling that usage was not recorded, where the call that is metered must go on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Exception)
_log = logging.getLogger("meterhouse_client")


def tell(failure: F, on_error: Callable[[F], None] | None) -> None:
    """Tells `on_error`, and the log where there is none. Raises nothing."""
    if on_error is None:
        _log.warning("usage was not recorded: %s: %s", type(failure).__name__, failure)
        return
    try:
        on_error(failure)
    except Exception:  # noqa: BLE001 - whoever is told is not to fail what is metered
        _log.exception("on_error failed")

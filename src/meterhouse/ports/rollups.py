"""Keeping rollups close behind the events: for the rollup worker, metrics and the operator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol

from ..domain.meter import Meter


class Rollups(Protocol):
    """Materializes rollups. They change no answer, only what it costs."""

    def define(self, meters: Mapping[str, Iterable[Meter]]) -> None:
        """Has the rollups of these meters, by namespace, materialized, and no others from now on."""
        ...

    def materialize(self, settled_commit: int) -> bool:
        """Materializes some of the commits up to `settled_commit`; answers whether any are left. Queries as of earlier
        commits become as slow as without rollups. May raise; the call can be repeated."""
        ...

    def watermark(self) -> int:
        """The commit up to which everything is materialized."""
        ...

    def lag_events(self) -> int:
        """How many events were stored after the watermark."""
        ...

    def rebuild(self) -> None:
        """Drops everything that is derived from the events. Rollups come back as they are materialized."""
        ...

    def checkpoint(self) -> None:
        """Saves what makes the next start faster, when enough has changed. May raise: then the next start is slower."""
        ...

    def interrupt(self) -> None:
        """Cancels a materialization or a mutation under way, because the store is closing and they may take minutes.
        Whoever waits for it gets an error, and can repeat it."""
        ...

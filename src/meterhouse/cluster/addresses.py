"""Where the processes of shards are asked."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import structlog

from ..domain.errors import Unavailable

if TYPE_CHECKING:
    from ..storage.postgresql.membership import Membership

_LOOKS_EVERY_S = 0.5
_HANDED_OVER_WITHIN_S = 12

_log = structlog.get_logger(__name__)

SOCKET = "unix:"
"""What the address of a socket begins with."""


class Addresses(Protocol):
    """Knows the address of each shard's process: `unix:PATH`, or `http://HOST:PORT`."""

    @property
    def patience_s(self) -> int:
        """How long whoever asks a shard waits until a process has it."""
        ...

    def of(self, shard: int) -> str | None:
        """The address; None while no process has the shard."""
        ...

    def watch(self, changed: Callable[[int], None]) -> None:
        """Begins to look by itself; `changed` is told each shard that another process has now."""
        ...

    def close(self) -> None:
        """Ends."""
        ...


@dataclass(frozen=True, slots=True)
class Sockets:
    """Sockets of one machine: a process that was started again has the one that its shard had."""

    folder: Path
    patience_s: int = 0

    def of(self, shard: int) -> str | None:
        """See `Addresses`."""
        return f"{SOCKET}{self.folder / str(shard)}"

    def watch(self, changed: Callable[[int], None]) -> None:
        """See `Addresses`."""

    def close(self) -> None:
        """See `Addresses`."""


class Holders:
    """The processes of a cluster that have the leases."""

    patience_s = _HANDED_OVER_WITHIN_S

    def __init__(self, membership: Membership):
        self._membership = membership
        self._found: dict[int, str] = {}
        self._changed: Callable[[int], None] = lambda _: None
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep_looking, name="meterhouse-addresses", daemon=True)

    def of(self, shard: int) -> str | None:
        """See `Addresses`."""
        return self._found.get(shard)

    def watch(self, changed: Callable[[int], None]) -> None:
        """See `Addresses`."""
        self._changed = changed
        self._look()
        self._thread.start()

    def close(self) -> None:
        """See `Addresses`."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def _keep_looking(self) -> None:
        while not self._ending.wait(_LOOKS_EVERY_S):
            self._look()

    def _look(self) -> None:
        try:
            holders = self._membership.holders()
        except Unavailable as failure:
            _log.warning("who has which shard cannot be looked up; as it was known, it goes on", exc_info=failure)
            return
        found = {shard: holder.address for shard, holder in holders.items() if holder.holds}
        moved = [shard for shard, address in self._found.items() if found.get(shard) != address]
        self._found = found
        for shard in moved:
            self._changed(shard)

"""The lease of a shard: who has it may write, and nobody else can."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, NoReturn

import structlog

from ..clickhouse.engine.read_write_lock import ReadWriteLock
from . import cluster_queries
from .session import DatabaseUnavailable, Session

_NS = 1_000_000_000
_SAFE_SHARE = 10
"""A tenth of a lease is left for clocks that do not run equally fast."""
_RENEWALS = 3
"""How often a lease is renewed in the time that it lasts."""

_log = structlog.get_logger(__name__)


class LeaseLost(DatabaseUnavailable):
    """Another process has the shard now."""


def nanoseconds() -> int:
    """A clock that only goes forward, and goes on while the process or its machine stands still."""
    return time.clock_gettime_ns(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


class Lease:
    """A shard's lease, which this process has taken. Every write names its epoch, so that none is late."""

    def __init__(
        self,
        session: Session,
        shard: int,
        epoch: int,
        seconds: int,
        asked_ns: int,
        *,
        lost: Callable[[], None],
        clock: Callable[[], int] = nanoseconds,
    ):
        """`asked_ns` is when the lease was asked for. `lost` is called once it is known that another has it: what the
        process has in memory is worthless then."""
        self.shard = shard
        self.epoch = epoch
        self._session = session
        self._seconds = seconds
        self._clock = clock
        self._lost = lost
        self._until_ns = self._valid_until(asked_ns)
        self._epoch_known = ReadWriteLock()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="meterhouse-lease", daemon=True)

    @classmethod
    def take(
        cls, session: Session, shard: int, holder: tuple[str, str], seconds: int, lost: Callable[[], None]
    ) -> Lease | None:
        """The lease for so many seconds; None while another process has it. `holder` is a node, and the address of its
        process. Raises `DatabaseUnavailable`."""
        asked_ns = nanoseconds()
        node, address = holder
        wanted = {"shard": shard, "node": node, "address": address, "seconds": seconds}
        taken = session.rows(cluster_queries.TAKE_LEASE, wanted)
        return cls(session, shard, taken[0][0], seconds, asked_ns, lost=lost) if taken else None

    def change(self, session: Session, sql: str, **parameters: Any) -> None:
        """Does what only the holder of the lease may do: a statement that answers nothing when another has it. Raises
        `DatabaseUnavailable`: it may have been done all the same; and `LeaseLost`."""
        with self._epoch_known.read():
            done = session.rows(sql, self._held | parameters)
        if not done:
            self.lose()

    @property
    def _held(self) -> dict[str, Any]:
        return {"shard": self.shard, "epoch": self.epoch}

    def holds(self) -> bool:
        """Whether nobody else can have the shard now: what is known here is all that there is."""
        return self._clock() < self._until_ns

    def keep(self) -> None:
        """Begins to renew the lease in the background."""
        self._thread.start()

    def renew(self) -> None:
        """Renews the lease. Raises `DatabaseUnavailable`, and `LeaseLost`."""
        asked_ns = self._clock()
        self.change(self._session, cluster_queries.RENEW_LEASE, seconds=self._seconds)
        self._until_ns = self._valid_until(asked_ns)

    def raise_epoch(self) -> None:
        """Takes the lease anew: no statement that was sent before can change anything any more. Raises
        `DatabaseUnavailable`, and `LeaseLost`."""
        with self._epoch_known.write():
            raised = self._session.rows(cluster_queries.RAISE_EPOCH, self._held)
            if raised:
                self.epoch = raised[0][0]
        if not raised:
            self.lose()

    def lose(self) -> NoReturn:
        """Another process has the shard: this one has to end. Raises `LeaseLost`."""
        self._until_ns = 0
        _log.error("another process has taken this shard over", epoch=self.epoch)
        self._lost()
        raise LeaseLost(f"another process has taken shard {self.shard} over: send this again")

    def release(self) -> None:
        """Lets another process have the shard at once."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()
        self._until_ns = 0
        try:
            self._session.rows(cluster_queries.RELEASE_LEASE, self._held)
        except DatabaseUnavailable as failure:
            _log.warning("the lease could not be given back; it ends by itself", exc_info=failure)

    def _valid_until(self, asked_ns: int) -> int:
        return asked_ns + self._seconds * _NS - self._seconds * _NS // _SAFE_SHARE

    def _keep(self) -> None:
        while not self._ending.wait(self._seconds / _RENEWALS):
            try:
                self.renew()
            except LeaseLost:
                return
            except DatabaseUnavailable as failure:
                _log.warning("the lease could not be renewed; trying again", exc_info=failure)

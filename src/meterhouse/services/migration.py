"""Moving this server into a cluster, as the server sees it: what rests meanwhile, and when it is over.

Nothing here looks at the clock by itself: a migration that nobody is heard of any more has lapsed when the next request
asks. Whoever was told that it lapsed cannot go on with it, so that what is moved is what was copied.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from ..domain.errors import AlreadyExists, Invalid, NotFound, Unavailable
from ..domain.loss import Loss
from ..domain.migration import MigrationState
from ..ports.chunks import Chunks
from ..ports.copying import CopiedLedger, Copying
from ..ports.event_store import EventStore

LAPSES_AFTER_S = 30
_WAITS_S = 2
"""For the requests under way, when others are refused already."""
_WAITS_FOR_UPKEEP_S = 10
_NS_PER_S = 1_000_000_000
_OVER = object()

_log = structlog.get_logger(__name__)


class Resting(Unavailable):
    """Something is not changed while the server is moved."""

    retry_after_s = 5


class HasMoved(Unavailable):
    """The server has moved, and answers nothing any more."""

    code = "moved"
    retry_after_s = 60

    def __init__(self) -> None:
        super().__init__("this server has moved into a cluster: send this to one of its nodes")


@dataclass(frozen=True, slots=True)
class MigrationStatus:
    """How far a migration is. `id` is empty where there is none."""

    id: str
    state: MigrationState
    latest_commit: int
    losses: list[Loss]
    """What was lost before, and accepted as lost."""


class Migration:
    """One at a time. May be used from many threads."""

    def __init__(
        self,
        store: EventStore,
        ledger: CopiedLedger,
        *,
        mark: Callable[[str], None],
        new_id: Callable[[], str],
        nanoseconds: Callable[[], int],
        refusal: str = "",
    ):
        """`mark` writes down for good that everything has moved, with the id of the migration. `nanoseconds` is a clock
        that only goes forward. With a `refusal`, which says why, the server cannot be moved."""
        self._store = store
        self._ledger = ledger
        self._mark = mark
        self._new_id = new_id
        self._nanoseconds = nanoseconds
        self._refusal = refusal
        self._changed = threading.Condition()  # guards all that follows
        self._id = ""
        self._state = MigrationState.SERVING
        self._heard_ns = 0
        self._changing = self._in_place = 0
        """How many changes are under way, and how many in place."""
        self._paused_at: tuple[int, int] | None = None
        """The commit and the change of the ledger that were the latest when everything rested."""

    @property
    def commits(self) -> Copying:
        """What is copied."""
        return self._store.copying()

    def status(self) -> MigrationStatus:
        """How far it is."""
        with self._changed:
            self._lapse()
            pausing = self._state is MigrationState.PAUSED and self._paused_at is None
            state = MigrationState.COPYING if pausing else self._state
            return MigrationStatus(self._id, state, self._store.latest_commit(), self._store.losses())

    def begin(self) -> MigrationStatus:
        """Begins one; from now on nothing is changed in place. Raises `AlreadyExists` where one is under way, `Invalid`
        for a server that cannot be moved, `Resting` while a change in place does not end, and `HasMoved`."""
        with self._changed:
            self._lapse()
            if self._state is MigrationState.MOVED:
                raise HasMoved
            if self._refusal:
                raise Invalid(self._refusal)
            if self._state is not MigrationState.SERVING:
                raise AlreadyExists(
                    f"this server is being moved already; that ends {LAPSES_AFTER_S} s after nothing was heard of it"
                )
            self._id, self._state, self._heard_ns = self._new_id(), MigrationState.COPYING, self._nanoseconds()
            _log.warning("this server is being moved into a cluster; events are copied", migration=self._id)
            if not self._changed.wait_for(lambda: not self._in_place, _WAITS_FOR_UPKEEP_S):
                self._end()
                raise Resting("events are being erased, removed or reduced: repeat this when that is done")
        return self.status()

    def go_on(self, migration_id: str, state: MigrationState) -> MigrationStatus:
        """Tells that whoever moves the server is there, and what is to be. A state never goes back: an earlier one
        changes nothing. Raises `NotFound` when it has lapsed, and `Resting` while requests that came before a pause do
        not end: everything goes on then."""
        with self._changed:
            self._lapse()
            if not migration_id or migration_id != self._id:
                raise NotFound(f"the migration {migration_id[:40]!r} has lapsed, and everything goes on: begin anew")
            self._heard_ns = self._nanoseconds()
            if state is MigrationState.PAUSED and self._state is MigrationState.COPYING:
                self._pause()
            elif state is MigrationState.MOVED and self._state is not MigrationState.MOVED:
                self._finish()
        return self.status()

    def _pause(self) -> None:
        self._state = MigrationState.PAUSED
        rests = self._changed.wait_for(lambda: not self._changing or self._state is not MigrationState.PAUSED, _WAITS_S)
        if self._state is not MigrationState.PAUSED:
            raise NotFound("the migration was cancelled meanwhile")
        if not rests:
            self._state = MigrationState.COPYING
            raise Resting("requests that change something take long: pause again in a moment")
        self._paused_at = self._latest()
        _log.warning("everything rests, and the server is about to have moved", migration=self._id)

    def _finish(self) -> None:
        if self._paused_at is None:
            raise Invalid("the server has not paused")
        if self._latest() != self._paused_at:
            self._end()
            raise NotFound("something was changed while everything was to rest, and everything goes on: begin anew")
        self._mark(self._id)
        self._state = MigrationState.MOVED
        _log.warning("this server has moved into a cluster, and answers nothing any more", migration=self._id)

    def cancel(self, migration_id: str) -> None:
        """Everything goes on. Raises `NotFound` when there is no such migration, and `HasMoved`."""
        with self._changed:
            self._lapse()
            if self._state is MigrationState.MOVED:
                raise HasMoved
            if migration_id != self._id or not migration_id:
                raise NotFound(f"there is no migration {migration_id[:40]!r}")
            self._end()

    def ledger(self) -> Chunks:
        """All of it, a row on each line. Raises `Invalid` unless everything rests."""
        if self.status().state is not MigrationState.PAUSED:
            raise Invalid("the ledger is copied while the server has paused")
        return self._ledger.rows()

    @contextmanager
    def changing(self) -> Iterator[None]:
        """Is held while something is changed. Raises `Resting`, and `HasMoved`."""
        self.enter(changes=True)
        try:
            yield
        finally:
            self.leave(changes=True)

    def enter(self, *, changes: bool) -> None:
        """Begins a request. Raises `Resting` for one that changes something while everything rests, and `HasMoved` for
        all when the server has moved. Otherwise `leave` ends it."""
        with self._changed:
            self._lapse()
            if self._state is MigrationState.MOVED:
                raise HasMoved
            if changes:
                if self._state is MigrationState.PAUSED:
                    raise Resting(
                        "this server is about to have moved into a cluster, and changes nothing: send this again"
                    )
                self._changing += 1

    def leave(self, *, changes: bool) -> None:
        """Ends a request."""
        if changes:
            with self._changed:
                self._changing -= 1
                self._changed.notify_all()

    @contextmanager
    def changing_in_place(self) -> Iterator[None]:
        """Is held while stored events are changed. Raises `Resting`."""
        with self._changed:
            self._lapse()
            if self._state is not MigrationState.SERVING:
                raise Resting(
                    "this server is being moved into a cluster, and stored events stay as they are: repeat this when "
                    "that is done"
                )
            self._in_place += 1
        try:
            yield
        finally:
            with self._changed:
                self._in_place -= 1
                self._changed.notify_all()

    def at_rest(self, task: Callable[[], Iterator[None]]) -> Callable[[], Iterator[None]]:
        """A task of upkeep that does nothing, and is left for the next time, while the server is moved."""

        def run() -> Iterator[None]:
            steps = task()
            while True:
                try:
                    with self.changing_in_place():
                        over = next(steps, _OVER)
                except Resting:
                    _log.info("upkeep rests: the server is being moved")
                    return
                if over is _OVER:
                    return
                yield

        return run

    def _latest(self) -> tuple[int, int]:
        return self._store.latest_commit(), self._ledger.changes()

    def _lapse(self) -> None:
        if self._state in (MigrationState.SERVING, MigrationState.MOVED):
            return
        if self._nanoseconds() - self._heard_ns > LAPSES_AFTER_S * _NS_PER_S:
            _log.warning("nothing is heard of who moves this server; everything goes on", migration=self._id)
            self._end()

    def _end(self) -> None:
        self._id, self._state, self._paused_at = "", MigrationState.SERVING, None
        self._changed.notify_all()

"""A thread that looks at the organizations that commits have changed, and at those that are due."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress

import structlog

from ...domain.errors import NotFound, Unavailable
from ...domain.shards import Seat
from ...ports.alerts import Raising
from ...ports.commit_log import Changed
from ...ports.event_store import EventStore
from .watch import AlertWatch, Interest, by_organization

_ROUNDS_EVERY_S = 1
_AFTER_FAILURE_S = 5
_DUE_AT_ONCE = 500
_WRITES_DOWN_EVERY_NS = 5_000_000_000
"""How often it is written down which commit was evaluated: what came after it is looked at again by the next start."""
_WRITTEN_TOGETHER = 50
"""Looks whose finds share a transaction."""
_FAILED = "an organization's alerts could not be evaluated"
_NOTHING = Changed(frozenset(), corrected=False)

_log = structlog.get_logger(__name__)


class AlertWorker:
    """One of each shard's process. A round a second at most, however much is ingested: an organization is looked at
    once in it; a round that took longer is followed by a rest as long as it took."""

    def __init__(
        self,
        store: EventStore,
        watch: AlertWatch,
        seat: Seat,
        changing: Callable[[], AbstractContextManager[None]],
        *,
        wake: Callable[[], None] = lambda: None,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ):
        """`changing` is held while the ledger is changed; it raises `Unavailable` while nothing may be.
        `wake` is called when there is something to deliver."""
        self._wake = wake
        self._store = store
        self._watch = watch
        self._ledger = watch.usage.ledger
        self._seat = seat
        self._changing = changing
        self._monotonic_ns = monotonic_ns
        self.on_raised: Callable[[Raising], None] = lambda _: None
        """Is told what a look has found, when it is written down."""
        self._left = _NOTHING
        """What an earlier round could not finish."""
        self._evaluated: int | None = None
        self._written_ns = 0
        self._written: int | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="meterhouse-alerts", daemon=True)

    def begin(self) -> None:
        """Begins, where the last process ended."""
        self._store.follow_changes()
        self._thread.start()

    def close(self) -> None:
        """Ends after the organization that is being looked at. The next start looks at what is left."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join()
            with suppress(Unavailable):  # then it looks at a little more
                self._write_down(every_ns=0)

    def _run(self) -> None:
        rest_s: int | None = 0
        while not self._closing.wait(rest_s):
            began_ns = self._monotonic_ns()
            try:
                more = self.round()
                took_s = (self._monotonic_ns() - began_ns) // 1_000_000_000
                rest_s = 0 if more else max(_ROUNDS_EVERY_S, took_s)
            except Unavailable as failure:  # also while the server is moved
                _log.info("alerts wait", reason=str(failure))
                rest_s = _AFTER_FAILURE_S
            except Exception as failure:  # noqa: BLE001 - what is left is looked at in the next round
                _log.error("alerts could not be evaluated; trying again", exc_info=failure)
                rest_s = _AFTER_FAILURE_S

    def round(self) -> bool:
        """Looks at everything that has changed since the last round, and at some of what is due; whether there may be
        more of that."""
        if self._evaluated is None:
            self._catch_up()
        assert self._evaluated is not None
        latest = self._store.latest_commit()
        changed = self._left = _joined(self._left, self._store.take_changes(latest))
        due = self._ledger.due_organizations(self._watch.usage.clock.now(), self._seat.virtuals, _DUE_AT_ONCE)
        scheduled = {(each.namespace, each.organization): each for each in due}
        steps = by_organization(self._store.correction_steps(self._evaluated, latest) if changed.corrected else ())
        interests: dict[str, Interest | None] = {}
        failed: set[tuple[str, str]] = set()
        waiting: dict[tuple[str, str], Raising] = {}
        for key in sorted(changed.organizations | scheduled.keys()):
            if self._closing.is_set():
                return False
            namespace, organization = key
            if namespace not in interests:
                interests[namespace] = self._interest(namespace)
            interest, row = interests[namespace], scheduled.get(key)
            if interest is None or (row is None and not interest.rules and not steps.get(key)):
                continue
            try:
                found = self._watch.look(namespace, organization, interest, row, steps.get(key, ()))
            except Unavailable:
                raise  # so it is for all of them
            except Exception as failure:  # noqa: BLE001 - the others are looked at all the same, and this one again
                _log.error(_FAILED, organization=organization, exc_info=failure)
                failed.add(key)
                continue
            if not found.is_empty:
                waiting[key] = found
            if len(waiting) == _WRITTEN_TOGETHER:
                failed |= self._write(waiting)
                waiting = {}
        failed |= self._write(waiting)
        self._left = Changed(frozenset(failed), corrected=changed.corrected and bool(failed))
        if failed:
            raise Unavailable(f"the alerts of {len(failed)} organizations are evaluated again")
        self._evaluated = latest
        self._write_down(every_ns=_WRITES_DOWN_EVERY_NS)
        return len(due) == _DUE_AT_ONCE

    def _write(self, found: Mapping[tuple[str, str], Raising]) -> set[tuple[str, str]]:
        """Writes what looks have found in one transaction; one by one where that fails, so that none keeps the others
        from being told. Answers of whom it could not be written."""
        if not found:
            return set()
        try:
            with self._changing():
                self._ledger.raise_alerts(*found.values())
        except Unavailable:
            raise
        except Exception as failure:  # noqa: BLE001 - it is looked at again
            if len(found) == 1:
                _log.error(_FAILED, organization=next(iter(found))[1], exc_info=failure)
                return {*found}
            return {key for each in found.items() for key in self._write(dict([each]))}
        for raising in found.values():
            self.on_raised(raising)
        if any(raising.messages for raising in found.values()):
            self._wake()
        return set()

    def _interest(self, namespace: str) -> Interest | None:
        """None for a namespace that the server has no catalog of any more."""
        try:
            return self._watch.interest(namespace)
        except NotFound:
            return None

    def _catch_up(self) -> None:
        """Finds what the last process has not looked at; everybody where that cannot be known."""
        with self._changing():
            latest, evaluated = self._store.latest_commit(), self._ledger.evaluated(self._seat.number)
            if evaluated is None or evaluated > latest:
                self._ledger.make_all_due(self._seat.virtuals)
                evaluated = latest
                self._ledger.set_evaluated(self._seat.number, latest)
            elif evaluated < latest:
                self._left = self._store.changed_since(evaluated)
            self._evaluated = self._written = evaluated

    def _write_down(self, *, every_ns: int) -> None:
        now_ns = self._monotonic_ns()
        if self._evaluated != self._written and now_ns - self._written_ns >= every_ns:
            assert self._evaluated is not None
            with self._changing():
                self._ledger.set_evaluated(self._seat.number, self._evaluated)
            self._written, self._written_ns = self._evaluated, now_ns


def _joined(one: Changed, other: Changed) -> Changed:
    return Changed(one.organizations | other.organizations, one.corrected or other.corrected)

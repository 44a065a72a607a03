"""Taking events in: validate, and commit together with whatever else is waiting."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog

from ..domain import correction
from ..domain.errors import NotRecorded, Overloaded
from ..domain.event import OWN, Event, Outcome, Rejected
from ..domain.event_parser import EventParser
from ..domain.period import format_instant
from ..ports import Clock, EventStore
from .catalogs import Catalogs
from .reports import Report, Submission

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Flow:
    """How much may wait and share a commit: latency against throughput, and memory against refusals."""

    commit_delay_ms: int = 0
    """How long a commit waits, at most, for as many requests as were under way at the end of the last one. A client
    that is alone never waits."""
    commit_events: int = 50_000
    """How many events share a commit; a request is never divided, so that a larger one has a commit of its own."""
    waiting_requests: int = 1_024
    waiting_events: int = 100_000
    """How many may wait for their commit; what comes then is refused whole."""
    waiting_bytes: int = 256 * 1024 * 1024
    """The same for the events' text. A request that finds nobody waiting is taken, however large."""


MAX_AHEAD = timedelta(days=366)
"""How far an event's time may be ahead of the server's clock: one that is years ahead would decide states for years."""
_KNOWN_UNMATCHED = 1_000
"""Most types without a meter that are remembered, so that each is told once."""


class Ingest:
    """The only writer of events. One thread commits; requests that wait at the same time share a commit."""

    def __init__(
        self,
        store: EventStore,
        catalogs: Catalogs,
        clock: Clock,
        flow: Flow | None = None,
        deleted: Callable[[], Set[tuple[str, str]]] = frozenset,
    ):
        """`deleted` answers the namespace and id of every deleted organization: they take no events any more."""
        self._store = store
        self._clock = clock
        self._flow = flow or Flow()
        self._catalogs = catalogs
        self._parsers = {
            (each.namespace, own): EventParser(each.namespace, each.meters_by_event_type, own=own)
            for each in catalogs
            for own in (False, True)
        }
        self._deleted = deleted
        self._told_unmatched: set[tuple[str, str]] = set()
        self._waiting: deque[Submission] = deque()
        self._waiting_events = self._waiting_bytes = 0
        self._changed = threading.Condition(threading.Lock())  # guards the three above
        self._closed = False
        self._company = 0
        """How many requests were under way at the end of the last commit."""
        self.on_commit: Callable[[int, int], None] = lambda _events, _nanoseconds: None
        """Is told of each commit, failed ones too: how many events, and how long it took."""
        self._writer = threading.Thread(target=self._write, name="meterhouse-writer", daemon=True)
        self._writer.start()

    def waiting(self) -> tuple[int, int]:
        """How many requests, and how many events, wait for their commit."""
        return len(self._waiting), self._waiting_events

    def submit(self, namespace: str, raws: Sequence[bytes], organization: str | None = None) -> Future[Report]:
        """Validates the events and queues the good ones; the future is done when they are durable and counted.

        Waits for nothing. `organization` restricts the request to that organization's events; without it, events of
        Meterhouse's own types are taken too, as they are when an export is read again. Raises `NotFound` for an
        unknown namespace and `Overloaded` when too much waits already; then nothing was stored.
        """
        catalog = self._catalogs.get(namespace)
        own = organization is None
        parse = self._parsers[catalog.namespace, own].parse
        size = sum(map(len, raws))
        self._refuse_overload(len(raws), size)  # before any work is put into it
        received_at = self._clock.now()
        latest, deleted = received_at + MAX_AHEAD, self._deleted()
        submission = Submission(received_at, size)
        for index, raw in enumerate(raws):
            try:
                event = parse(raw, received_at)
                if organization is not None and event.organization != organization:
                    raise Rejected("forbidden", "this key may only send events of its own organization", event.id)
                if event.time > latest:
                    raise _ahead(event, received_at)
                if deleted and (namespace, event.organization) in deleted and not event.type.startswith(OWN):
                    raise _of_deleted(event)
                if event.type not in catalog.expected_types:
                    if event.type.startswith(OWN):
                        correction.check(event)
                    else:
                        submission.unmatched.append(len(submission.events))
                        self._tell_unmatched(namespace, event.type)
            except Rejected as rejected:
                submission.reject(index, rejected)
            else:
                submission.events.append(event)
                submission.indexes.append(index)
        if not submission.events:
            submission.settle(())
            return submission.done
        return self._queue(submission)

    def record(self, events: Sequence[Event]) -> None:
        """Stores events of our own making, all of them in one commit, and returns when they are durable. Those that are
        stored already stay. Raises `Overloaded`, and `NotRecorded` when one was not taken."""
        submission = Submission(self._clock.now(), sum(len(event.data) for event in events))
        submission.events, submission.indexes = list(events), list(range(len(events)))
        report = self._queue(submission).result()
        if report.errors:
            first = report.errors[0]
            raise NotRecorded(
                f"{len(report.errors) + report.errors_omitted} of {len(events)} events of this change were not stored;"
                f" {first.id!r}: {first.message}"
            )

    def _tell_unmatched(self, namespace: str, event_type: str) -> None:
        told = self._told_unmatched
        if (namespace, event_type) not in told and len(told) < _KNOWN_UNMATCHED:
            told.add((namespace, event_type))
            _log.warning("no meter reads events of this type", namespace=namespace, type=event_type)

    def _queue(self, submission: Submission) -> Future[Report]:
        with self._changed:
            self._refuse_overload(len(submission.events), submission.size)
            self._waiting.append(submission)
            self._waiting_events += len(submission.events)
            self._waiting_bytes += submission.size
            if len(self._waiting) == 1 or not self._more_expected():
                self._changed.notify()  # no sooner: waking the writer for nothing costs more than a small request
        return submission.done

    def _refuse_overload(self, events: int, size: int) -> None:
        flow = self._flow
        if self._closed:
            raise Overloaded("the server is shutting down; send the events again")
        if self._waiting and (
            len(self._waiting) >= flow.waiting_requests
            or self._waiting_events + events > flow.waiting_events
            or self._waiting_bytes + size > flow.waiting_bytes
        ):
            raise Overloaded("too much is waiting to be stored; send the events again")

    def close(self) -> None:
        """Commits what is waiting, then stops the writer."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._writer.join()

    def _write(self) -> None:
        while together := self._next_commit():
            self._commit(together)

    def _next_commit(self) -> list[Submission]:
        """The requests that share the next commit, as soon as there are any; none at the very end."""
        flow = self._flow
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            until = time.perf_counter_ns() + flow.commit_delay_ms * _NS_PER_MS
            while self._more_expected():
                patience = until - time.perf_counter_ns()
                if patience <= 0 or not self._changed.wait(patience / _NS_PER_S):
                    break
            together: list[Submission] = []
            events = 0
            while self._waiting and (not together or events + len(self._waiting[0].events) <= flow.commit_events):
                submission = self._waiting.popleft()
                together.append(submission)
                events += len(submission.events)
                self._waiting_bytes -= submission.size
            self._waiting_events -= events
        return together

    def _more_expected(self) -> bool:
        """Whether fewer wait than did lately: those who have just been answered may be about to send again."""
        return (
            not self._closed and len(self._waiting) < self._company and self._waiting_events < self._flow.commit_events
        )

    def _commit(self, together: list[Submission]) -> None:
        events = [event for submission in together for event in submission.events]
        began = time.perf_counter_ns()
        outcomes: list[Outcome] | BaseException
        try:
            outcomes = self._store.append(events, together[0].received_at)
        except BaseException as failure:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            outcomes = failure
        self.on_commit(len(events), time.perf_counter_ns() - began)
        self._company = len(together) + len(self._waiting)  # before any answer, so that nobody is counted twice
        end = 0
        for submission in together:
            if isinstance(outcomes, BaseException):
                submission.done.set_exception(outcomes)
                continue
            begin, end = end, end + len(submission.events)
            submission.settle(outcomes[begin:end])


def _ahead(event: Event, now: datetime) -> Rejected:
    return Rejected(
        "invalid_time",
        f"time: {format_instant(event.time)} is more than {MAX_AHEAD.days} days ahead of this server's clock,"
        f" {format_instant(now)}",
        event.id,
    )


def _of_deleted(event: Event) -> Rejected:
    return Rejected(
        "organization_deleted",
        f"the organization {event.organization[:128]!r} is deleted: restore it, or stop sending its events",
        event.id,
    )

"""The only writer of events."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from concurrent.futures import Future
from functools import partial
from itertools import groupby
from typing import TypeVar

import structlog

from ...domain.decision import LimitState
from ...domain.envelope import decode_envelopes
from ...domain.errors import NotRecorded
from ...domain.event import Event, Outcome, Rejected
from ...domain.event_columns import UnreadEvents, read_columns
from ...domain.event_sequence import ChainedEvents, EventRange
from ...domain.position import format_position
from ...ports.clock import Clock
from ...ports.event_writer import EventWriter
from ..catalogs import Catalogs
from ..enforcement import Enforcement, QuotaExceeded
from ..enforcement.errors import explained
from .acceptance import MAX_AHEAD, Acceptance
from .group_commit import GroupCommit
from .limits import GroupCommitLimits
from .reports import Report
from .splitting import MAX_EVENTS_PER_REQUEST, split_events
from .submission import Body, Done, Submission

T = TypeVar("T")

_log = structlog.get_logger(__name__)

_READ_ALONE_BYTES = 65_536
"""Larger bodies are read where they are submitted; smaller ones together, by the thread that commits them: reading some
hundred events at once costs little more than reading one."""


class Ingest:
    """Reads the events of requests, and stores those of requests that wait at the same time in one commit.

    Nearly every request has regular events only: they are read into columns. A request with anything else is read
    event by event, so that a bad event never takes its neighbours with it; the outcomes are the same.
    """

    def __init__(
        self,
        store: EventWriter,
        catalogs: Catalogs,
        clock: Clock,
        limits: GroupCommitLimits | None = None,
        deleted: Callable[[], Set[tuple[str, str]]] = frozenset,
        *,
        shard: int = 0,
        enforcement: Enforcement | None = None,
    ):
        """`deleted` answers the namespace and id of every deleted organization: they take no events any more. `shard`
        is the number of the store, for positions. Without `enforcement` nothing is held to limits."""
        self._enforcement = enforcement
        self._store = store
        self._shard = shard
        self._catalogs = catalogs
        self._clock = clock
        self._acceptance = Acceptance(catalogs, deleted)
        self.on_commit: Callable[[int, int], None] = lambda _events, _nanoseconds: None
        """Is told of each commit, failed ones too: how many events, and how long it took."""
        self._group = GroupCommit(limits or GroupCommitLimits(), self._commit)

    def waiting(self) -> tuple[int, int]:
        """How many requests, and how many events, wait for their commit."""
        return self._group.waiting()

    def submit_body(self, body: Body, done: Done) -> None:
        """Takes a request's events; `done` is called when the good ones are durable and counted, from any thread.

        Waits for nothing. Raises `Invalid` when the body is no JSON or has too many events, `NotFound` for an unknown
        namespace and `Overloaded` when too much waits already; then nothing is stored and `done` is not called.
        """
        catalog = self._catalogs.get(body.namespace)
        self._group.refuse_overload(1, len(body.content))  # before any work is put into it
        envelopes = decode_envelopes(body.content, lines=body.lines)
        submission = Submission(self._clock.now(), len(body.content), done)
        if body.enforced:
            self._read_one_by_one(submission, body)
            submission.decide = partial(self._admit, submission, body.namespace)
            self._put(submission)
            return
        if envelopes and len(envelopes) <= MAX_EVENTS_PER_REQUEST:
            unread = UnreadEvents(catalog, envelopes, body.content.count(b'"'), submission.received_at)
            if self._acceptance.takes_all(unread, body.organization):
                submission.body, submission.unread, submission.count = body, unread, len(envelopes)
                if len(body.content) > _READ_ALONE_BYTES:
                    self._read([submission])
                self._put(submission)
                return
        self._read_one_by_one(submission, body)
        self._put(submission)

    def submit(self, namespace: str, raws: Sequence[bytes], organization: str | None = None) -> Future[Report]:
        """Takes events that are JSON texts, one by one; see `submit_body`."""
        self._catalogs.get(namespace)
        size = sum(map(len, raws))
        self._group.refuse_overload(len(raws), size)  # before any work is put into it
        pending, done = _future()
        submission = Submission(self._clock.now(), size, done)
        self._acceptance.read_one_by_one(submission, namespace, raws, organization)
        self._put(submission)
        return pending

    def decide(self, decided: Callable[[Enforcement], tuple[T, Sequence[Event]]]) -> Future[T]:
        """Has something decided in the order of commits. The future has what `decided` answers beside events, once they
        are durable, or what it raises: nothing is stored then. Raises `Overloaded`."""
        enforcement = self._enforcement
        assert enforcement is not None  # whoever decides has it
        pending: Future[T] = Future()
        pending.set_running_or_notify_cancel()
        decision: list[T] = []

        def decide() -> None:
            told, submission.events = decided(enforcement)
            submission.indexes = range(len(submission.events))
            decision.append(told)

        def done(result: Report | BaseException) -> None:
            if isinstance(result, BaseException):
                pending.set_exception(result)
            else:
                pending.set_result(decision[0])

        submission = Submission(self._clock.now(), 0, done, 1, decide=decide)
        self._group.put(submission)
        return pending

    def _admit(self, submission: Submission, namespace: str) -> None:
        """Refuses what there is no room for."""
        assert self._enforcement is not None  # who enforces has it
        indexes, events = submission.indexes, submission.events

        def refuse(place: int, refused_by: LimitState) -> None:
            code = QuotaExceeded.code
            submission.reject(indexes[place], Rejected(code, explained(refused_by), events[place].id))

        submission.keep(self._enforcement.admit(namespace, events, refuse))

    def _put(self, submission: Submission) -> None:
        if submission.unread is None:
            submission.count = len(submission.events)
        if submission.count:
            self._group.put(submission)
        else:
            submission.settle((), self._position())

    def record(self, events: Sequence[Event]) -> None:
        """Stores events of our own making, all of them in one commit, and returns when they are durable. Those that are
        stored already stay. Raises `Overloaded`, and `NotRecorded` when one was not taken."""
        pending, done = _future()
        submission = Submission(self._clock.now(), sum(len(event.data) for event in events), done, len(events))
        submission.events, submission.indexes = list(events), range(len(events))
        self._group.put(submission)
        report = pending.result()
        if report.errors:
            first = report.errors[0]
            raise NotRecorded(
                f"{len(report.errors) + report.errors_omitted} of {len(events)} events of this change were not stored;"
                f" {first.id!r}: {first.message}"
            )

    def close(self) -> None:
        """Commits what is waiting, then stops the writer."""
        self._group.close()

    def _commit(self, together: Sequence[Submission]) -> None:
        """Stores the events of all of them, and answers each; whatever goes wrong belongs to those who wait."""
        began = time.perf_counter_ns()
        count = sum(each.count for each in together)
        outcomes: Sequence[Outcome] = ()
        failure: BaseException | None = None
        position = ""
        refused: dict[int, BaseException] = {}
        try:
            refused = self._decided(together)
            parts: list[Sequence[Event]] = []
            for is_unread, each_of in groupby(together, key=lambda each: each.unread is not None):
                run = [*each_of]
                parts += self._read(run) if is_unread else [each.events for each in run]
            events = parts[0] if len(parts) == 1 else ChainedEvents(parts)
            if count := len(events):
                outcomes = self._store.append(events, min(each.received_at for each in together))
            position = self._position()
            if self._enforcement is not None:
                self._enforcement.stored(alone=all(each.decide is not None for each in together))
        except BaseException as wrong:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            failure = wrong
            if self._enforcement is not None:
                self._enforcement.failed()
        self.on_commit(count, time.perf_counter_ns() - began)
        self._group.expect(len(together))
        end = 0
        for number, each in enumerate(together):
            begin, end = end, end + len(each.events)
            try:
                if number in refused:
                    each.done(refused[number])
                elif failure is None:
                    each.settle(outcomes[begin:end], position)
                else:
                    each.done(failure)
            except Exception as wrong:  # noqa: BLE001 - the others are answered all the same
                _log.error("a request could not be told what became of its events", exc_info=wrong)

    @staticmethod
    def _decided(together: Sequence[Submission]) -> dict[int, BaseException]:
        """Has decided, one after the other, what is to be stored; answers why nothing is, by their numbers."""
        refused: dict[int, BaseException] = {}
        for number, each in enumerate(together):
            if each.decide is not None:
                try:
                    each.decide()
                except Exception as wrong:  # noqa: BLE001 - whatever it is, it belongs to who asked
                    refused[number] = wrong
        return refused

    def _position(self) -> str:
        return format_position({self._shard: self._store.latest_commit()})

    def _read(self, submissions: Sequence[Submission]) -> list[Sequence[Event]]:
        """Reads the events of submissions, as far as they are unread, and answers them in the same order: together
        when all of them are regular, else those of each request by itself."""
        if len(submissions) == 1 or (events := self._encoded(submissions)) is None:
            return [self._read_apart(each) for each in submissions]
        begin = 0
        for each in submissions:
            self._take(each, EventRange(events, begin, each.count))
            begin += each.count
        return [events]

    def _read_apart(self, submission: Submission) -> Sequence[Event]:
        if (events := self._encoded([submission])) is not None:
            self._take(submission, events)
        else:
            body = submission.body
            assert body is not None  # what has none is not read from one
            self._read_one_by_one(submission, body)
            submission.unread = submission.body = None
        return submission.events

    def _read_one_by_one(self, submission: Submission, body: Body) -> None:
        raws = split_events(body.content, lines=body.lines)
        keeps = body.keeps_unreadable
        self._acceptance.read_one_by_one(submission, body.namespace, raws, body.organization, keeps_unreadable=keeps)

    def _take(self, submission: Submission, events: Sequence[Event]) -> None:
        assert submission.unread is not None  # it is read once
        submission.events, submission.indexes = events, range(len(events))
        submission.unmatched = self._acceptance.unmatched_in(submission.unread)
        submission.unread = submission.body = None

    def _encoded(self, submissions: Sequence[Submission]) -> Sequence[Event] | None:
        """All of their events, as the store takes them; None when one of them takes a closer look."""
        columns = read_columns([each.unread for each in submissions if each.unread is not None])
        latest = min(each.received_at for each in submissions) + MAX_AHEAD
        return None if columns is None else self._store.encode(columns, latest)


def _future() -> tuple[Future[Report], Done]:
    """A report that is waited for, and what fulfils it."""
    pending: Future[Report] = Future()
    # A client that hangs up must not cancel what is about to be stored with others.
    pending.set_running_or_notify_cancel()

    def done(report: Report | BaseException) -> None:
        if isinstance(report, BaseException):
            pending.set_exception(report)
        else:
            pending.set_result(report)

    return pending, done

"""Taking events in: decode, validate, and commit together with whatever else is waiting."""

from __future__ import annotations

import re
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from ..domain import correction
from ..domain.errors import Invalid, Overloaded
from ..domain.event import OWN, Event, EventParser, Outcome, Rejected
from ..ports import Clock, EventStore
from .catalogs import Catalogs

MAX_EVENTS_PER_REQUEST = 50_000

_NS_PER_MS = 1_000_000
_NS_PER_S = 1_000_000_000

_batch = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)


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


@dataclass(frozen=True, slots=True)
class Failure:
    """Why one event of a request was not ingested; `index` is its place in the request, from 0."""

    index: int
    id: str | None
    code: str
    message: str


@dataclass(slots=True)
class Report:
    """What became of the events of one request."""

    ingested: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    errors: list[Failure] = field(default_factory=list)


def split_events(body: bytes, *, lines: bool) -> list[bytes]:
    """The JSON text of each event in a body: an object, an array of objects, or (`lines`) one object a line.

    Raises `Invalid` when the body is no JSON at all, or holds more than `MAX_EVENTS_PER_REQUEST`.
    """
    if lines:
        events = [line for line in body.split(b"\n") if line.strip()]
    elif body.lstrip()[:1] == b"[":
        try:
            events = [bytes(raw) for raw in _batch.decode(body)]
        except RecursionError:
            events = _split_deep(body)
        except msgspec.DecodeError as wrong:
            raise Invalid(f"the body is not JSON: {wrong}") from None
    else:
        events = [_single(body)]
    if len(events) > MAX_EVENTS_PER_REQUEST:
        raise Invalid(f"{len(events)} events in one request; send at most {MAX_EVENTS_PER_REQUEST} at a time")
    return events


def _single(body: bytes) -> bytes:
    try:
        return bytes(_any.decode(body))
    except RecursionError:
        return body  # is refused as an event, with its reason
    except msgspec.DecodeError as wrong:
        raise Invalid(f"the body is not JSON: {wrong}") from None


_MARKS = re.compile(rb'"(?:[^"\\]|\\.)*"|[\[\]{},]', re.DOTALL)


def _split_deep(body: bytes) -> list[bytes]:
    """The elements of an array of which some are nested too deeply to be decoded: they are refused one by one."""
    elements, depth, begin = [], 0, 0
    for mark in _MARKS.finditer(body):
        if mark[0] in (b"[", b"{"):
            depth += 1
            begin = mark.end() if depth == 1 else begin
        elif mark[0] in (b"]", b"}"):
            depth -= 1
        if (depth == 1 and mark[0] == b",") or depth == 0:
            elements.append(body[begin : mark.start()])
            begin = mark.end()
        if depth == 0:
            return elements
    raise Invalid("the body is not JSON: an array is not closed")


class Ingest:
    """The only writer of events. One thread commits; requests that wait at the same time share a commit."""

    def __init__(self, store: EventStore, catalogs: Catalogs, clock: Clock, flow: Flow | None = None):
        self._store = store
        self._clock = clock
        self._flow = flow or Flow()
        self._catalogs = catalogs
        self._parsers = {
            (each.namespace, own): EventParser(each.namespace, each.meters_by_event_type, own=own)
            for each in catalogs
            for own in (False, True)
        }
        self._waiting: deque[_Submission] = deque()
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
        own = organization is None
        parse = self._parsers[self._catalogs.get(namespace).namespace, own].parse
        size = sum(map(len, raws))
        self._refuse_overload(len(raws), size)  # before any work is put into it
        received_at = self._clock.now()
        submission = _Submission(received_at, size)
        for index, raw in enumerate(raws):
            try:
                event = parse(raw, received_at)
                if organization is not None and event.organization != organization:
                    raise Rejected("forbidden", "this key may only send events of its own organization", event.id)
                if own and event.type.startswith(OWN):
                    correction.check(event)
            except Rejected as rejected:
                submission.report.rejected += 1
                submission.report.errors.append(Failure(index, rejected.event_id, rejected.code, str(rejected)))
            else:
                submission.events.append(event)
                submission.indexes.append(index)
        if not submission.events:
            submission.done.set_result(submission.report)
            return submission.done
        return self._queue(submission)

    def store(self, events: Sequence[Event]) -> Future[Report]:
        """Queues events that are sound as one request: all of them are in one commit. Raises `Overloaded`."""
        submission = _Submission(self._clock.now(), sum(len(event.data) for event in events))
        submission.events, submission.indexes = list(events), list(range(len(events)))
        return self._queue(submission)

    def _queue(self, submission: _Submission) -> Future[Report]:
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

    def _next_commit(self) -> list[_Submission]:
        """The requests that share the next commit, as soon as there are any; none at the very end."""
        flow = self._flow
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            until = time.perf_counter_ns() + flow.commit_delay_ms * _NS_PER_MS
            while self._more_expected():
                patience = until - time.perf_counter_ns()
                if patience <= 0 or not self._changed.wait(patience / _NS_PER_S):
                    break
            together: list[_Submission] = []
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

    def _commit(self, together: list[_Submission]) -> None:
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


_FAILED = {
    Outcome.CONFLICT: "this source and id are known with other content; the first one stands",
    Outcome.UNKNOWN_TARGET: "it corrects an event that is not stored",
}


@dataclass(slots=True)
class _Submission:
    received_at: datetime
    size: int
    """Bytes of the events as they were sent."""
    events: list[Event] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    report: Report = field(default_factory=Report)
    done: Future[Report] = field(default_factory=Future)

    def __post_init__(self) -> None:
        # A client that hangs up must not cancel what is about to be stored with others.
        self.done.set_running_or_notify_cancel()

    def settle(self, outcomes: list[Outcome]) -> None:
        report = self.report
        report.ingested = outcomes.count(Outcome.INGESTED)
        report.duplicates = outcomes.count(Outcome.DUPLICATE)
        report.conflicts = outcomes.count(Outcome.CONFLICT)
        unknown = outcomes.count(Outcome.UNKNOWN_TARGET)
        report.rejected += unknown
        if report.conflicts or unknown:
            for index, event, outcome in zip(self.indexes, self.events, outcomes, strict=True):
                if message := _FAILED.get(outcome):
                    report.errors.append(Failure(index, event.id, outcome.value, message))
            report.errors.sort(key=lambda failure: failure.index)
        self.done.set_result(report)

"""Taking events in: decode, validate, and commit together with whatever else is waiting."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime

import msgspec

from ..domain.errors import Invalid, Overloaded
from ..domain.event import Event, Outcome, Rejected, parse_event
from ..ports import Clock, EventStore
from .catalogs import Catalogs

MAX_EVENTS_PER_REQUEST = 50_000
MAX_EVENTS_PER_COMMIT = 50_000
MAX_WAITING_REQUESTS = 1_024

_batch = msgspec.json.Decoder(list[msgspec.Raw])
_any = msgspec.json.Decoder(msgspec.Raw)


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

    def __init__(self, store: EventStore, catalogs: Catalogs, clock: Clock):
        self._store = store
        self._catalogs = catalogs
        self._clock = clock
        self._waiting: queue.Queue[_Submission | None] = queue.Queue(MAX_WAITING_REQUESTS)
        self._closing = threading.Lock()
        self._closed = False
        self._writer = threading.Thread(target=self._write, name="meterhouse-writer", daemon=True)
        self._writer.start()

    def submit(self, namespace: str, raws: Sequence[bytes], organization: str | None = None) -> Future[Report]:
        """Validates the events and queues the good ones; the future is done when they are durable and counted.

        `organization` restricts the request to that organization's events. Raises `NotFound` for an unknown
        namespace and `Overloaded` when too many requests wait already; then nothing was stored.
        """
        received_at = self._clock.now()
        meters = self._catalogs.get(namespace).meters_by_event_type
        submission = _Submission(received_at)
        for index, raw in enumerate(raws):
            try:
                event = parse_event(raw, namespace, meters, received_at)
                if organization is not None and event.organization != organization:
                    raise Rejected("forbidden", "this key may only send events of its own organization", event.id)
            except Rejected as rejected:
                submission.report.rejected += 1
                submission.report.errors.append(Failure(index, rejected.event_id, rejected.code, str(rejected)))
            else:
                submission.events.append(event)
                submission.indexes.append(index)
        if not submission.events:
            submission.done.set_result(submission.report)
            return submission.done
        with self._closing:
            if self._closed:
                raise Overloaded("the server is shutting down; send the events again")
            try:
                self._waiting.put_nowait(submission)
            except queue.Full:
                raise Overloaded("too many requests are waiting to be stored; send the events again") from None
        return submission.done

    def close(self) -> None:
        """Commits what is waiting, then stops the writer."""
        with self._closing:
            if not self._closed:
                self._closed = True
                self._waiting.put(None)
        self._writer.join()

    def _write(self) -> None:
        last = False
        while not last:
            submission = self._waiting.get()
            if submission is None:
                return
            together, size = [submission], len(submission.events)
            while size < MAX_EVENTS_PER_COMMIT:
                try:
                    submission = self._waiting.get_nowait()
                except queue.Empty:
                    break
                if submission is None:
                    last = True
                    break
                together.append(submission)
                size += len(submission.events)
            self._commit(together)

    def _commit(self, together: list[_Submission]) -> None:
        events = [event for submission in together for event in submission.events]
        try:
            outcomes = iter(self._store.append(events, together[0].received_at))
        except BaseException as failure:  # noqa: BLE001 - whatever it is, it belongs to those who wait
            for submission in together:
                submission.done.set_exception(failure)
            return
        for submission in together:
            submission.settle([next(outcomes) for _ in submission.events])


@dataclass(slots=True)
class _Submission:
    received_at: datetime
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
        if report.conflicts:
            for index, event, outcome in zip(self.indexes, self.events, outcomes, strict=True):
                if outcome is Outcome.CONFLICT:
                    message = "this source and id are known with other content; the first one stands"
                    report.errors.append(Failure(index, event.id, "conflict", message))
            report.errors.sort(key=lambda failure: failure.index)
        self.done.set_result(report)

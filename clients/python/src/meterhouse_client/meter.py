"""A meter: `record` returns at once, and a thread of its own sends what was recorded."""

from __future__ import annotations

import atexit
import os
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import urlencode

import httpx

from .buffer import Buffer, WhenFull
from .errors import Closed, MeterhouseClientError, SpoolError
from .events import Ids, stamp
from .sender import Batching, Counts, Problem, Sender
from .spool import Spool

_CLOSING_S = 10.0
_meters: weakref.WeakSet[Meter] = weakref.WeakSet()
"""Those that are open."""


class Meter:
    """Records events. May be used from many threads, and in processes that are forked from the one that made it.

    Whatever is recorded is sent until the server has answered for it, in the order of recording, under the id and the
    time that it was given once: however often a request is repeated, it counts once. At the end of the program what is
    left is sent, within `close_within_s`; with a spool what could not be sent is sent by the next process.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        namespace: str | None = None,
        source: str = "meterhouse-client",
        spool: str | Path | None = None,
        when_full: WhenFull | str = WhenFull.RAISE,
        max_events: int = 100_000,
        max_bytes: int = 64_000_000,
        batch_events: int = 1_000,
        batch_bytes: int = 1_000_000,
        linger_s: float = 0.2,
        timeout_s: float = 30.0,
        close_within_s: float = _CLOSING_S,
        on_problem: Callable[[Problem], None] | None = None,
        on_error: Callable[[MeterhouseClientError], None] | None = None,
    ):
        """`url` is the server's, `key` one that may send events; a key of the operator's needs the `namespace`.

        `source` and an event's id tell it from all others of its organization: give programs that make ids of their own
        different sources. `spool` names a file in which events survive a crash of this process. At most `max_events` of
        `max_bytes` wait; `when_full` says what becomes of others: `raise`, `block` or `drop`. `on_problem` is told of
        each event that the server does not take, `on_error` of requests that are repeated, both in the sending thread;
        without them they are logged. Raises `SpoolError`.
        """
        self._source = source
        self._close_within_s = close_within_s
        self._ids = Ids()
        self._counting = threading.Lock()
        self._path = f"{url.rstrip('/')}/v1/events" + (f"?{urlencode({'namespace': namespace})}" if namespace else "")
        self._headers = {"authorization": f"Bearer {key}", "user-agent": "meterhouse-client"}
        self._limits = max_events, max_bytes, WhenFull(when_full)
        self._batching = Batching(batch_events, batch_bytes, linger_s)
        self._timeout_s = timeout_s
        self._tls = httpx.create_ssl_context()
        self._callbacks = on_problem, on_error
        self._closed = False
        self._spool = Spool(spool) if spool is not None else None
        self._lost_spool = False
        self._begin()
        if self._spool is not None:
            for number, event in self._spool.left():
                self._buffer.add(event, number, always=True)
        _meters.add(self)

    def _begin(self) -> None:
        self._buffer = Buffer(*self._limits)
        self._sender = Sender(
            self._path,
            self._headers,
            self._buffer,
            self._spool,
            self._batching,
            self._timeout_s,
            self._tls,
            *self._callbacks,
        )
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def record(
        self,
        event_type: str,
        organization: str,
        data: Mapping[str, Any] | None = None,
        *,
        at: datetime | None = None,
        id: str | None = None,
    ) -> str:
        """Records an event of now, or of `at`, and answers its id. `id` is one of your own: the same event recorded
        again, with the same content, counts once.

        Raises `InvalidEvent` for what no server would take, `BufferFull` and `Closed`, and `SpoolError`.
        """
        event = stamp(
            self._ids,
            source=self._source,
            event_type=event_type,
            organization=organization,
            data=data,
            at=at,
            event_id=id,
        )
        if self._closed:
            raise Closed("the meter was closed")
        if self._lost_spool:
            raise SpoolError("the spool is of the process that made this meter: make one in this process, with its own")
        number = self._spool.add(event) if self._spool is not None else None
        try:
            taken = self._buffer.add(event, number)
        except MeterhouseClientError:
            self._forget(number)
            raise
        counts = self._sender.counts
        with self._counting:
            counts.recorded += 1
            if not taken:
                counts.dropped += 1
        if not taken:
            self._forget(number)
        elif self._thread is None:
            self._start()
        return event.id

    def _forget(self, number: int | None) -> None:
        if self._spool is not None and number is not None:
            self._spool.settle([number])

    def _start(self) -> None:
        with self._starting:
            if self._thread is None:
                self._thread = self._sender.start()

    @property
    def counts(self) -> Counts:
        """What became of events so far."""
        return replace(self._sender.counts)

    @property
    def waiting(self) -> int:
        """How many events nobody has answered for yet."""
        return len(self._buffer)

    def flush(self, timeout_s: float | None = None) -> bool:
        """Has everything sent now; answers whether the server has answered for all of it in time."""
        if len(self._buffer):
            self._start()
        return self._buffer.wait_empty(timeout_s)

    def close(self, timeout_s: float | None = None) -> bool:
        """Sends what is left and ends; answers whether all of it was sent in time. What was not is in the spool, or
        counted as dropped."""
        if self._closed:
            return not len(self._buffer)
        self._closed = True
        done = self.flush(self._close_within_s if timeout_s is None else timeout_s)
        self._sender.give_up()
        self._buffer.close()
        if self._thread is not None:
            self._thread.join(1)
        if not done and self._spool is None:
            self._sender.counts.dropped += len(self._buffer)
        if self._spool is not None:
            self._spool.close()
        _meters.discard(self)
        return done

    def __enter__(self) -> Meter:
        """The meter."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, raised: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Closes it."""
        self.close()

    def _forked(self) -> None:
        """In a process that was forked: what waits is its parent's to send, and so is the spool."""
        self._ids.forget()
        self._counting = threading.Lock()
        if self._spool is not None:
            self._spool.abandon()
            self._spool, self._lost_spool = None, True
        self._begin()


def _close_all() -> None:
    for meter in list(_meters):
        meter.close()


def _forked() -> None:
    for meter in list(_meters):
        meter._forked()


atexit.register(_close_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)

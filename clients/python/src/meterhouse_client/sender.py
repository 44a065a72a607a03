"""Sending events until somebody has answered for them."""

from __future__ import annotations

import gzip
import logging
import random
import ssl
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpcore  # noqa: F401 - now, and not when the thread begins: a process may be forked meanwhile
import httpx
import msgspec

from .buffer import Buffer, Waiting
from .errors import MeterhouseClientError, Refused, Unreachable
from .spool import Spool

_COMPRESS_BYTES = 1_024
_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 30.0
_REPEATED = frozenset({401, 403, 404, 408, 425, 429})
"""Refusals of a whole request that time, or the operator, may mend; as every 5xx."""

_log = logging.getLogger("meterhouse_client")


@dataclass(frozen=True)
class Problem:
    """An event that the server did not take: `conflict`, another one has its id; or why it was rejected."""

    event_id: str
    organization: str
    code: str
    message: str


@dataclass
class Counts:
    """What became of events since the meter was made."""

    recorded: int = 0
    ingested: int = 0
    duplicates: int = 0
    """The server had them already: they were sent again because an answer was lost."""
    conflicts: int = 0
    rejected: int = 0
    dropped: int = 0
    """There was no room for them, or no time left at the end."""
    retries: int = 0


class _Failure(msgspec.Struct):
    index: int
    id: str | None
    code: str
    message: str


class _Report(msgspec.Struct):
    ingested: int
    duplicates: int
    conflicts: int
    rejected: int
    errors: list[_Failure] = []


class _Told(msgspec.Struct):
    code: str = "unknown"
    detail: str = ""


_report = msgspec.json.Decoder(_Report)
_told = msgspec.json.Decoder(_Told)


@dataclass
class Batching:
    """How events are put together."""

    events: int = 1_000
    bytes: int = 1_000_000
    linger_s: float = 0.2


@dataclass
class Sender:
    """A thread that sends what waits, one batch after the other: an organization's events arrive in their order."""

    path: str
    """Where events are sent to, with the namespace."""
    headers: dict[str, str]
    buffer: Buffer
    spool: Spool | None
    batching: Batching
    timeout_s: float
    tls: ssl.SSLContext
    """Not made by the thread: it would hold locks of OpenSSL meanwhile, and a process that is forked then keeps them
    for ever."""
    on_problem: Callable[[Problem], None] | None
    on_error: Callable[[MeterhouseClientError], None] | None
    counts: Counts = field(default_factory=Counts)
    _giving_up: threading.Event = field(default_factory=threading.Event)

    def start(self) -> threading.Thread:
        """Begins."""
        thread = threading.Thread(target=self._run, name="meterhouse-sender", daemon=True)
        thread.start()
        return thread

    def give_up(self) -> None:
        """Sends no more: what waits is in the spool, or lost."""
        self._giving_up.set()

    def _run(self) -> None:
        with httpx.Client(timeout=self.timeout_s, headers=self.headers, verify=self.tls) as http:
            while taken := self.buffer.take(self.batching.events, self.batching.bytes, self.batching.linger_s):
                parts: list[Sequence[Waiting]] = [taken]
                while parts and not self._giving_up.is_set():
                    try:
                        self._send_first(http, parts)
                    except Exception:  # noqa: BLE001 - whatever it is: what has no answer is sent again
                        _log.exception("events could not be sent")
                        self._giving_up.wait(_FIRST_PAUSE_S)
                if self._giving_up.is_set():
                    return

    def _send_first(self, http: httpx.Client, parts: list[Sequence[Waiting]]) -> None:
        """Sends the first of some parts until the server has answered for it; divides it where that is too much."""
        part = parts[0]
        answer = self._answered(http, part)
        if answer is None:
            return  # given up
        report = _read(answer) if answer.status_code in (200, 422) else None
        if report is None and len(part) > 1:  # too large, or one of them spoils the others
            half = len(part) // 2
            parts[:1] = [part[:half], part[half:]]
            return
        if self.spool is not None:
            self.spool.settle([each.spooled for each in part if each.spooled is not None])
        del parts[0]
        self.buffer.settled(part)
        if report is not None:
            self._account(part, report)
            return
        refused, event = _refusal(answer), part[0].event
        self.counts.rejected += 1
        self._tell(Problem(event.id, event.organization, refused.code, refused.detail))

    def _answered(self, http: httpx.Client, part: Sequence[Waiting]) -> httpx.Response | None:
        """The first answer that is not to be repeated; None when it was given up."""
        content = b"\n".join([each.event.body for each in part])
        headers = {"content-type": "application/x-ndjson"}
        if len(content) > _COMPRESS_BYTES:
            content, headers["content-encoding"] = gzip.compress(content, 1), "gzip"
        pause_s = _FIRST_PAUSE_S
        while not self._giving_up.is_set():
            wait_s = None
            try:
                answer = http.post(self.path, content=content, headers=headers)
                if answer.status_code not in _REPEATED and answer.status_code < 500 and _is_whole(answer):
                    return answer
                wait_s = _retry_after(answer)
                self._tell_error(_refusal(answer))
            except httpx.HTTPError as failure:
                self._tell_error(Unreachable(f"{self.path}: {type(failure).__name__}: {failure}"))
            self.counts.retries += 1
            spread_s = pause_s * random.uniform(0.5, 1)  # noqa: S311 - so that many do not come back at once
            self._giving_up.wait(max(spread_s, min(wait_s or 0.0, _LONGEST_PAUSE_S)))
            pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
        return None

    def _account(self, part: Sequence[Waiting], report: _Report) -> None:
        counts = self.counts
        counts.ingested += report.ingested
        counts.duplicates += report.duplicates
        counts.conflicts += report.conflicts
        counts.rejected += report.rejected
        for failure in report.errors:
            event = part[failure.index].event
            self._tell(Problem(event.id, event.organization, failure.code, failure.message))

    def _tell(self, problem: Problem) -> None:
        if self.on_problem is None:
            _log.warning("event %s was not taken: %s: %s", problem.event_id, problem.code, problem.message)
            return
        try:
            self.on_problem(problem)
        except Exception:  # noqa: BLE001 - whoever is told is not to stop the sending
            _log.exception("on_problem failed")

    def _tell_error(self, error: MeterhouseClientError) -> None:
        if self.on_error is None:
            _log.warning("events are sent again: %s", error)
            return
        try:
            self.on_error(error)
        except Exception:  # noqa: BLE001 - the same
            _log.exception("on_error failed")


def _is_whole(answer: httpx.Response) -> bool:
    """Whether a report is one: half an answer, or one of something in between, says nothing of the events."""
    return answer.status_code != 200 or _read(answer) is not None


def _read(answer: httpx.Response) -> _Report | None:
    try:
        return _report.decode(answer.content)
    except msgspec.DecodeError:
        return None


def _retry_after(answer: httpx.Response) -> float | None:
    text = answer.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() and len(text) < 8 else None


def _refusal(answer: httpx.Response) -> Refused:
    try:
        told = _told.decode(answer.content)
    except msgspec.DecodeError:
        told = _Told(detail=answer.text[:200])
    return Refused(answer.status_code, told.code, told.detail)

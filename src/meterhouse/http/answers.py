"""Answers that are kept, and given again while what they were made from is the same.

Nobody has to remember to drop one: each names the state of the events and of the ledger that it was made from, and its
bounds in time, and whoever finds it compares them with what is.
"""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

import msgspec
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from ..contracts.contract import Answer, Contract
from ..domain.organization import Caller
from ..ports import Clock, EventStore, Ledger
from .bodies import encode_body
from .observability import Metrics

_ENTRY_BYTES = 1024
"""About what an answer takes beside its body."""


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer, and what it holds for."""

    answer: Answer
    """Encoded, not yet enveloped."""
    path: str
    """The template of its path, for the metrics."""
    limited: bool
    """Whether it is counted each time it is given."""
    caller: Caller
    commit: int
    """It was made from the events up to this commit."""
    change: int
    """Everything of the ledger in it was read when this was the newest change."""
    since: datetime
    until: datetime

    @property
    def size(self) -> int:
        """How many bytes of memory it takes, about."""
        assert isinstance(self.answer.body, msgspec.Raw)
        return len(memoryview(self.answer.body)) + _ENTRY_BYTES


class AnswerCache:
    """The kept answers that were given last, as many as a number of bytes holds."""

    def __init__(self, store: EventStore, ledger: Ledger, contracts: Iterable[Contract], size_bytes: int):
        """Begins empty; with a size of 0 it stays so."""
        self._store = store
        self._ledger = ledger
        self._headers = frozenset(name.encode() for contract in contracts for name in contract.headers)
        self._size_bytes = size_bytes
        self._used_bytes = 0
        self._kept: OrderedDict[bytes, KeptAnswer] = OrderedDict()
        self._lock = Lock()
        self._hash_key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)

    def key(self, scope: HTTPScope) -> bytes:
        """Stands for all of a GET request that any contract can see. It has a credential in it that nobody gets out."""
        seen = [pair for pair in scope["headers"] if pair[0] in self._headers]
        text = repr((scope.get("raw_path") or scope["path"], scope["query_string"], seen))
        return hashlib.blake2b(text.encode(), key=self._hash_key, digest_size=32).digest()

    def find(self, key: bytes, now: datetime) -> KeptAnswer | None:
        """The answer that would be made now, if it is kept. Asks nothing that is not in memory."""
        with self._lock:
            kept = self._kept.get(key)
            if kept is None:
                return None
            if not self._holds(kept, now):
                self._forget(key)
                return None
            self._kept.move_to_end(key)
            return kept

    def keep(self, key: bytes, kept: KeptAnswer) -> None:
        """Remembers an answer, and forgets those that were not given for the longest time."""
        with self._lock:
            self._forget(key)
            if kept.size > self._size_bytes:
                return
            self._kept[key] = kept
            self._used_bytes += kept.size
            while self._used_bytes > self._size_bytes:
                self._forget(next(iter(self._kept)))

    def _holds(self, kept: KeptAnswer, now: datetime) -> bool:
        organization = kept.caller.organization
        return (
            kept.since <= now < kept.until
            and self._store.touched(organization.namespace, organization.id) <= kept.commit
            and self._ledger.changed(organization.id) <= kept.change
        )

    def _forget(self, key: bytes) -> None:
        if (kept := self._kept.pop(key, None)) is not None:
            self._used_bytes -= kept.size


class FromCache:
    """Gives kept answers before any routing, on the event loop. Whatever else is asked goes to the application behind
    it, and so do answers that are counted: counting them waits for the disk."""

    def __init__(self, app: ASGIApp, answers: AnswerCache, metrics: Metrics, clock: Clock):
        self._app = app
        self._answers = answers
        self._given = metrics.answers.labels("cache")
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        kept = None
        if scope["type"] == ScopeType.HTTP and scope["method"] == "GET":
            now = self._clock.now()
            kept = self._answers.find(self._answers.key(scope), now)
        if kept is None or kept.limited:
            await self._app(scope, receive, send)
            return
        scope["path_template"] = kept.path
        self._given.inc()
        answer = enveloped(kept.answer, scope["state"]["request_id"], now)
        body = encode_body(answer.body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), text.encode()) for name, text in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def encoded(answer: Answer) -> Answer:
    """The answer, with its body as JSON already."""
    return replace(answer, body=msgspec.Raw(encode_body(answer.body)))


def enveloped(answer: Answer, request_id: str, now: datetime) -> Answer:
    """An encoded answer as it is given to one request."""
    if answer.envelope is None:
        return answer
    assert isinstance(answer.body, msgspec.Raw)
    return replace(answer, body=answer.envelope(answer.body, request_id, now), envelope=None)

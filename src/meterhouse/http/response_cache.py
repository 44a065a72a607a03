"""The response cache: encoded answers, given again while they are valid. Nobody has to invalidate one: each answer
names the commit and the ledger change that it was made from, and the time in which it holds, and every look-up compares
these with the present."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from threading import Lock

import msgspec
from cachetools import LRUCache
from litestar.enums import ScopeType
from litestar.types import ASGIApp, HTTPScope, Receive, Scope, Send

from ..contracts.contract import Answer, Contract
from ..domain.organization import Caller
from ..ports.clock import Clock
from ..ports.event_store import EventStore
from ..ports.ledger import Ledger
from .bodies import encode_body
from .observability import Metrics

_ENTRY_BYTES = 1024
"""About what an answer takes beside its body."""


@dataclass(frozen=True, slots=True)
class CachedResponse:
    """An encoded answer, and what it is valid for."""

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
        """The approximate bytes of memory that it takes."""
        assert isinstance(self.answer.body, msgspec.Raw)
        return len(memoryview(self.answer.body)) + _ENTRY_BYTES


class ResponseCache:
    """Holds the answers that were used last, up to a number of bytes."""

    def __init__(self, store: EventStore, ledger: Ledger, contracts: Iterable[Contract], size_bytes: int):
        """Begins empty; with a size of 0 it stays so."""
        self._store = store
        self._ledger = ledger
        self._headers = frozenset(name.encode() for contract in contracts for name in contract.headers)
        self._cached: LRUCache[bytes, CachedResponse] = LRUCache(size_bytes, lambda cached: cached.size)
        self._lock = Lock()
        self._hash_key = os.urandom(hashlib.blake2b.MAX_KEY_SIZE)

    def key(self, scope: HTTPScope) -> bytes:
        """A keyed hash of everything in a GET request that a contract can see, the credential included."""
        seen = [pair for pair in scope["headers"] if pair[0] in self._headers]
        text = repr((scope.get("raw_path") or scope["path"], scope["query_string"], seen))
        return hashlib.blake2b(text.encode(), key=self._hash_key, digest_size=32).digest()

    def find(self, key: bytes, now: datetime) -> CachedResponse | None:
        """The cached answer, if it is still valid. Asks nothing that is not in memory."""
        with self._lock:
            cached = self._cached.get(key)
            if cached is None:
                return None
            if not self._holds(cached, now):
                del self._cached[key]
                return None
            return cached

    def keep(self, key: bytes, cached: CachedResponse) -> None:
        """Caches an answer, and evicts the least recently used ones."""
        with self._lock:
            self._cached.pop(key, None)
            if cached.size <= self._cached.maxsize:
                self._cached[key] = cached

    def _holds(self, cached: CachedResponse, now: datetime) -> bool:
        organization = cached.caller.organization
        return (
            cached.since <= now < cached.until
            and self._store.last_commit_of(organization.namespace, organization.id) <= cached.commit
            and self._ledger.changed(organization.id) <= cached.change
        )


class ResponseCacheMiddleware:
    """Sends cached answers on the event loop, without routing. All other requests go to the application, and so do
    answers that a rate limit counts, because counting waits for the disk."""

    def __init__(self, app: ASGIApp, answers: ResponseCache, metrics: Metrics, clock: Clock):
        self._app = app
        self._answers = answers
        self._given = metrics.answers.labels("cache")
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application."""
        cached = None
        if scope["type"] == ScopeType.HTTP and scope["method"] == "GET":
            now = self._clock.now()
            cached = self._answers.find(self._answers.key(scope), now)
        if cached is None or cached.limited:
            await self._app(scope, receive, send)
            return
        scope["path_template"] = cached.path
        self._given.inc()
        answer = enveloped(cached.answer, scope["state"]["request_id"], now)
        body = encode_body(answer.body)
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode())]
        headers += [(name.encode(), text.encode()) for name, text in answer.headers.items()]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body, "more_body": False})


def encoded(answer: Answer) -> Answer:
    """The answer with its body encoded as JSON."""
    return replace(answer, body=msgspec.Raw(encode_body(answer.body)))


def enveloped(answer: Answer, request_id: str, now: datetime) -> Answer:
    """An encoded answer with the envelope of one request."""
    if answer.envelope is None:
        return answer
    assert isinstance(answer.body, msgspec.Raw)
    return replace(answer, body=answer.envelope(answer.body, request_id, now), envelope=None)

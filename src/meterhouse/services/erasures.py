"""Erasing what events say of a person."""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime

import msgspec

from ..domain.correction import CONFLICT
from ..domain.erasure import ERASURE, SOURCE, Receipt, check_property, erase, word_for
from ..domain.errors import Invalid, NotFound
from ..domain.event import ERASED, Event
from ..domain.listing import PropertyMatch
from ..domain.shards import Seat
from ..ports.clock import Clock
from ..ports.event_mutations import EventMutations
from ..ports.ledger import Ledger
from ..ports.whole_store import WholeStore
from .accounts import Accounts
from .catalogs import Catalogs
from .ingest import Ingest


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be erased of an organization's events: a property's text, wherever it is that. With the id of an
    erasure that was finished it changes nothing; one that was interrupted is finished by the same request."""

    id: str
    organization: str
    property: str
    value: str
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Erasure:
    """An erasure that was done."""

    id: str
    organization: str
    at: datetime
    receipt: Receipt


class Erasures:
    """Erases one thing at a time."""

    def __init__(
        self,
        *,
        store: EventMutations,
        log: WholeStore,
        seat: Seat,
        ingest: Ingest,
        ledger: Ledger,
        accounts: Accounts,
        catalogs: Catalogs,
        clock: Clock,
        random_bytes: Callable[[int], bytes],
        changing_in_place: Callable[[], AbstractContextManager[None]] = nullcontext,
    ):
        """`changing_in_place` is held by each erasure, and raises where none may be now."""
        self._store = store
        self._log = log
        self._seat = seat
        self._ingest = ingest
        self._ledger = ledger
        self._accounts = accounts
        self._catalogs = catalogs
        self._clock = clock
        self._random_bytes = random_bytes
        self._changing_in_place = changing_in_place
        self._one_at_a_time = threading.Lock()

    def erase(self, request: Request) -> Erasure:
        """Erases, and answers the receipt when nothing says it any more. Raises `NotFound` for an unknown organization,
        `Invalid` for a property that totals are made of and where nothing can be erased, and `Elsewhere`."""
        organization = self._accounts.organization(request.organization)
        namespace = organization.namespace
        self._seat.check(namespace, organization.id)
        check_property(request.property, list(self._catalogs.get(namespace).meters.values()))
        if not request.value or request.value.startswith(ERASED):
            raise Invalid("value: name the text that is to be erased; it is neither empty nor erased already")
        with self._one_at_a_time, self._changing_in_place():
            if (done := self._find(namespace, request.id)) is not None:
                return done
            self._store.check_rewritable()
            # The same word when it is repeated: what was one thing stays one thing, to a UNIQUE_COUNT too.
            kept = self._ledger.secret(f"erasure {namespace} {request.id}", self._random_bytes(8))
            word = word_for(kept.hex())

            def rewritten(event: Event) -> Event:
                return erase(event, f"data.{request.property}" if event.type == CONFLICT else request.property, word)

            # First: nothing is erased that the audit log does not have. It does not say what.
            self._ledger.record_act(namespace=namespace, organization=organization.id, erasure=request.id)
            keys = self._ledger.rename_key_user(organization.id, request.value, word)
            saying = PropertyMatch(namespace, organization.id, request.property, request.value)
            events = self._store.rewrite(saying, rewritten)
            receipt = Receipt(request.property, word, events, keys, request.actor, request.reason)
            erasure = Erasure(request.id, organization.id, self._clock.now(), receipt)
            self._ingest.record([_event(namespace, erasure)])
            return erasure

    def of(self, namespace: str, erasure_id: str) -> Erasure:
        """An erasure that was done. Raises `NotFound`."""
        found = self._find(self._catalogs.get(namespace).namespace, erasure_id)
        if found is None:
            raise NotFound(f"there is no erasure {erasure_id[:60]!r} in namespace {namespace!r}")
        return found

    def _find(self, namespace: str, erasure_id: str) -> Erasure | None:
        for found in self._log.find_named(namespace, [(SOURCE, erasure_id)]):
            if found.event.type != ERASURE:
                continue
            receipt = msgspec.json.decode(found.event.data, type=Receipt)
            return Erasure(erasure_id, found.event.organization, found.stored_at, receipt)
        return None


def _event(namespace: str, erasure: Erasure) -> Event:
    data = msgspec.json.encode(erasure.receipt)
    return Event(namespace, SOURCE, erasure.id, ERASURE, erasure.organization, erasure.at, data, {})

"""Group commit: who shares a commit, who waits, who is refused, and what a failure leaves behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from meterhouse.domain.errors import NotFound, Overloaded
from meterhouse.domain.event import Event, Outcome
from meterhouse.services import ingest as module
from meterhouse.services.ingest import Ingest
from meterhouse.wiring import FrozenClock, load_catalogs
from reference import ReferenceStore

NOW = datetime(2026, 3, 15, 12, tzinfo=UTC)


class GatedStore(ReferenceStore):
    """Commits only while the gate is open, and remembers how many events each commit had."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.sizes: list[int] = []
        self.failures: list[Exception] = []

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        self.entered.set()
        assert self.gate.wait(10)
        self.sizes.append(len(events))
        if self.failures:
            raise self.failures.pop()
        return super().append(events, received_at)


@pytest.fixture
def store() -> GatedStore:
    return GatedStore()


@pytest.fixture
def ingest(store: GatedStore) -> Iterator[Ingest]:
    ingest = Ingest(store, load_catalogs(()), FrozenClock(NOW))
    yield ingest
    store.gate.set()
    ingest.close()


def raw(number: int, amount: int = 1) -> bytes:
    event = {"specversion": "1.0", "id": str(number), "source": "s", "type": "credit.used", "subject": "acme"}
    return json.dumps({**event, "data": {"amount": amount}}).encode()


def test_requests_that_wait_together_share_a_commit(ingest: Ingest, store: GatedStore) -> None:
    first = ingest.submit("unsiloed", [raw(0)])
    assert store.entered.wait(10)
    waiting = [ingest.submit("unsiloed", [raw(n), raw(n + 100)]) for n in range(1, 11)]
    assert not first.done()
    store.gate.set()
    assert first.result(10).ingested == 1
    assert [each.result(10).ingested for each in waiting] == [2] * 10
    assert store.sizes == [1, 20]


def test_each_request_is_told_about_its_own_events(ingest: Ingest, store: GatedStore) -> None:
    store.gate.set()
    ingest.submit("unsiloed", [raw(1)]).result(10)
    report = ingest.submit("unsiloed", [raw(2), b"{", raw(1), raw(1, amount=2), raw(2)]).result(10)
    assert (report.ingested, report.rejected, report.duplicates, report.conflicts) == (1, 1, 2, 1)
    assert [(error.index, error.code) for error in report.errors] == [(1, "invalid_event"), (3, "conflict")]


def test_a_client_that_hangs_up_disturbs_nobody(ingest: Ingest, store: GatedStore) -> None:
    gone = ingest.submit("unsiloed", [raw(1)])
    assert not gone.cancel()
    store.gate.set()
    assert ingest.submit("unsiloed", [raw(2)]).result(10).ingested == 1
    assert store.count() == 2


def test_a_failing_commit_fails_those_who_wait_for_it_and_no_later_one(ingest: Ingest, store: GatedStore) -> None:
    store.failures.append(OSError("disk full"))
    failing = ingest.submit("unsiloed", [raw(1)])
    store.gate.set()
    with pytest.raises(OSError, match="disk full"):
        failing.result(10)
    assert ingest.submit("unsiloed", [raw(1)]).result(10).ingested == 1


def test_too_many_waiting_requests_are_refused_whole(
    ingest: Ingest, store: GatedStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest._waiting, "maxsize", 3)
    accepted = [ingest.submit("unsiloed", [raw(0)])]
    assert store.entered.wait(10)
    accepted += [ingest.submit("unsiloed", [raw(n)]) for n in range(1, 4)]
    with pytest.raises(Overloaded):
        ingest.submit("unsiloed", [raw(99)])
    store.gate.set()
    assert sum(each.result(10).ingested for each in accepted) == 4
    assert store.count() == 4


def test_a_commit_is_bounded(store: GatedStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_EVENTS_PER_COMMIT", 10)
    ingest = Ingest(store, load_catalogs(()), FrozenClock(NOW))
    first = ingest.submit("unsiloed", [raw(0)])
    assert store.entered.wait(10)
    waiting = [ingest.submit("unsiloed", [raw(n * 10 + m) for m in range(4)]) for n in range(1, 8)]
    store.gate.set()
    assert sum(each.result(10).ingested for each in (first, *waiting)) == 29
    assert store.sizes == [1, 12, 12, 4]
    ingest.close()


def test_closing_stores_what_waits_and_refuses_what_comes(store: GatedStore) -> None:
    ingest = Ingest(store, load_catalogs(()), FrozenClock(NOW))
    accepted = [ingest.submit("unsiloed", [raw(n)]) for n in range(5)]
    store.gate.set()
    ingest.close()
    assert all(each.done() for each in accepted)
    assert store.count() == 5
    with pytest.raises(Overloaded):
        ingest.submit("unsiloed", [raw(9)])
    ingest.close()


def test_an_unknown_namespace_is_refused_before_anything_is_stored(ingest: Ingest) -> None:
    with pytest.raises(NotFound):
        ingest.submit("nowhere", [raw(1)])

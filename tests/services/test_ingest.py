"""Group commit: who shares a commit, who waits, who is refused, and what a failure leaves behind."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from datetime import UTC, datetime

import pytest
import structlog

from meterhouse.catalog_files import load_catalogs
from meterhouse.clocks import FrozenClock
from meterhouse.domain.errors import NotFound, Overloaded
from meterhouse.domain.event import Event, Outcome
from meterhouse.services.ingest import GroupCommitLimits, Ingest, Report
from support.reference import ReferenceStore

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


def test_each_request_of_a_commit_is_told_about_its_own_events(ingest: Ingest, store: GatedStore) -> None:
    ingest.submit("unsiloed", [raw(0)])
    assert store.entered.wait(10)
    sent = [[raw(1)], [raw(0), raw(1, amount=2), raw(2)], [raw(2), raw(3)]]
    waiting = [ingest.submit("unsiloed", raws) for raws in sent]
    store.gate.set()
    reports = [each.result(10) for each in waiting]
    assert store.sizes == [1, 6]
    assert [(each.ingested, each.duplicates, each.conflicts) for each in reports] == [(1, 0, 0), (1, 1, 1), (1, 1, 0)]
    assert [[(error.index, error.id) for error in each.errors] for each in reports] == [[], [(1, "1")], []]


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


def ingest_with(store: GatedStore, flow: GroupCommitLimits) -> tuple[Ingest, Future[Report]]:
    """An ingest that holds a first commit of one event at the gate."""
    ingest = Ingest(store, load_catalogs(()), FrozenClock(NOW), flow)
    first = ingest.submit("unsiloed", [raw(0)])
    assert store.entered.wait(10)
    return ingest, first


@pytest.mark.parametrize(
    ("flow", "size"),
    [
        (GroupCommitLimits(waiting_requests=3), 1),
        (GroupCommitLimits(waiting_events=12), 4),
        (GroupCommitLimits(waiting_events=14), 4),
        (GroupCommitLimits(waiting_bytes=3 * 4 * len(raw(10))), 4),
    ],
)
def test_what_comes_when_too_much_waits_is_refused_whole(store: GatedStore, flow: GroupCommitLimits, size: int) -> None:
    ingest, first = ingest_with(store, flow)
    accepted = [ingest.submit("unsiloed", [raw(n * 10 + m) for m in range(size)]) for n in range(1, 4)]
    assert ingest.waiting() == (3, 3 * size)
    with pytest.raises(Overloaded):
        ingest.submit("unsiloed", [raw(90 + m) for m in range(size)])
    store.gate.set()
    assert [each.result(10).ingested for each in (first, *accepted)] == [1, size, size, size]
    assert store.count() == 1 + 3 * size
    assert ingest.waiting() == (0, 0)
    assert ingest.submit("unsiloed", [raw(90)]).result(10).ingested == 1
    ingest.close()


def test_a_request_larger_than_what_may_wait_is_taken_when_nobody_waits(store: GatedStore) -> None:
    flow = GroupCommitLimits(waiting_requests=1, waiting_events=2, waiting_bytes=1, commit_events=2)
    ingest, _ = ingest_with(store, flow)
    large = ingest.submit("unsiloed", [raw(n) for n in range(1, 6)])
    store.gate.set()
    assert large.result(10).ingested == 5
    assert store.sizes == [1, 5]
    ingest.close()


def test_a_commit_is_bounded(store: GatedStore) -> None:
    ingest, first = ingest_with(store, GroupCommitLimits(commit_events=10))
    waiting = [ingest.submit("unsiloed", [raw(n * 10 + m) for m in range(4)]) for n in range(1, 8)]
    store.gate.set()
    assert sum(each.result(10).ingested for each in (first, *waiting)) == 29
    assert store.sizes == [1, 8, 8, 8, 4]
    ingest.close()


def test_a_commit_waits_for_those_who_were_there_at_the_last_one(store: GatedStore) -> None:
    ingest, first = ingest_with(store, GroupCommitLimits(commit_delay_ms=60_000))
    before = [ingest.submit("unsiloed", [raw(n)]) for n in range(1, 3)]
    store.gate.set()
    assert first.result(10).ingested == 1  # and so its client is about to send again
    with pytest.raises(TimeoutError):
        before[0].result(0.05)
    third = ingest.submit("unsiloed", [raw(3)])
    assert [each.result(10).ingested for each in (*before, third)] == [1, 1, 1]
    assert store.sizes == [1, 3]
    last = ingest.submit("unsiloed", [raw(5)])
    ingest.close()
    assert last.result(0).ingested == 1


def test_a_client_that_is_alone_never_waits_and_others_wait_no_longer_than_they_are_told(store: GatedStore) -> None:
    store.gate.set()
    ingest = Ingest(store, load_catalogs(()), FrozenClock(NOW), GroupCommitLimits(commit_delay_ms=60_000))
    assert [ingest.submit("unsiloed", [raw(n)]).result(10).ingested for n in range(5)] == [1] * 5
    ingest.close()
    store.gate.clear()
    store.entered.clear()
    ingest, first = ingest_with(store, GroupCommitLimits(commit_delay_ms=20))
    both = [ingest.submit("unsiloed", [raw(n)]) for n in (10, 11)]
    store.gate.set()
    for each in (first, *both, ingest.submit("unsiloed", [raw(12)])):
        each.result(10)
    ingest.close()


def test_every_commit_is_told_of_also_one_that_fails(ingest: Ingest, store: GatedStore) -> None:
    told: list[tuple[int, bool]] = []
    ingest.on_commit = lambda events, nanoseconds: told.append((events, nanoseconds > 0))
    store.failures.append(OSError("disk full"))
    store.gate.set()
    with pytest.raises(OSError, match="disk full"):
        ingest.submit("unsiloed", [raw(1), raw(2)]).result(10)
    ingest.submit("unsiloed", [raw(1)]).result(10)
    ingest.close()
    assert told == [(2, True), (1, True)]


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


def test_each_type_that_no_meter_reads_is_told_once_and_only_so_many(ingest: Ingest, store: GatedStore) -> None:
    store.gate.set()
    with structlog.testing.capture_logs() as logged:
        for number in range(1_500):
            strange = raw(number).replace(b"credit.used", b"type-%d" % (number % 1_200))
            assert ingest.submit("unsiloed", [strange]).result(10).unmatched == 1
    assert [each["type"] for each in logged] == [f"type-{number}" for number in range(1_000)]


def test_conflicts_and_rejections_are_listed_together_by_place(ingest: Ingest, store: GatedStore) -> None:
    store.gate.set()
    ingest.submit("unsiloed", [raw(n) for n in range(90)]).result(10)
    mixed = [each for n in range(90) for each in (b"{", raw(n, amount=2))]
    report = ingest.submit("unsiloed", mixed).result(10)
    assert (report.rejected, report.conflicts, report.errors_omitted, report.refused_whole) == (90, 90, 80, True)
    assert [each.index for each in report.errors] == list(range(100))


def test_deleted_organizations_take_nothing(store: GatedStore) -> None:
    store.gate.set()
    gone = {("unsiloed", "acme")}
    ingest = Ingest(store, load_catalogs(()), FrozenClock(NOW), deleted=lambda: gone)
    report = ingest.submit("unsiloed", [raw(1)]).result(10)
    assert [each.code for each in report.errors] == ["organization_deleted"]
    odd = raw(2).replace(b"credit.used", b"of.nobody")
    report = ingest.submit("unsiloed", [odd, raw(3).replace(b"acme", b"other")]).result(10)
    assert (report.ingested, report.rejected, report.unmatched) == (1, 1, 0)
    gone.clear()
    assert ingest.submit("unsiloed", [raw(1)]).result(10).ingested == 1
    ingest.close()

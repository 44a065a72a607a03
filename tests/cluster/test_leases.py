"""One process at a time has a shard, and whoever lost it changes nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import psycopg
import pytest
import zstandard

from meterhouse.clocks import SystemClock
from meterhouse.domain.shards import ShardMap
from meterhouse.storage.clickhouse.journal.segment import Record
from meterhouse.storage.ledger.shared_ledger import SharedLedger
from meterhouse.storage.manifest import Manifest
from meterhouse.storage.postgresql.cluster_queries import APPEND
from meterhouse.storage.postgresql.journal_table import JournalTable
from meterhouse.storage.postgresql.lease import Lease, LeaseLost
from meterhouse.storage.postgresql.manifests import manifest_of
from meterhouse.storage.postgresql.membership import Membership
from meterhouse.storage.postgresql.session import DatabaseUnavailable, Session

SECONDS = 1


class Owner:
    """A process that has a lease, as far as the database can tell."""

    def __init__(self, session: Session, lease: Lease):
        self.session, self.lease = session, lease
        self.manifest = manifest_of(session, lease)
        self.journal = JournalTable(NO_ENGINE, session, session, lease, self.manifest)

    def append(self, commit: int, block: bytes = b"block") -> None:
        self.journal.append(Record(commit, 1, block))


NO_ENGINE: Any = None


@pytest.fixture
def session(new_database: Callable[[], str]) -> Iterator[Session]:
    with closing(Session(new_database())) as opened:
        Membership(opened, "a:1", SECONDS).join("id", {"version": "1", "shards": "1"}, SystemClock().now())
        yield opened


@pytest.fixture
def take(session: Session) -> Callable[[str], Owner | None]:
    def taken(node: str) -> Owner | None:
        lease = Lease.take(session, 0, (node, f"http://{node}"), SECONDS, lambda: None)
        return Owner(session, lease) if lease else None

    return taken


@pytest.fixture
def owner(take: Callable[[str], Owner | None]) -> Owner:
    taken = take("a")
    assert taken is not None
    return taken


@pytest.fixture
def successor(owner: Owner, take: Callable[[str], Owner | None]) -> Owner:
    """Of an owner who noticed nothing."""
    owner.session.rows("UPDATE leases SET expires_at = clock_timestamp()")
    taken = take("b")
    assert taken is not None
    return taken


def test_a_lease_is_had_by_one_until_it_ends(owner: Owner, take: Callable[[str], Owner | None]) -> None:
    assert owner.lease.holds()
    assert take("b") is None
    assert take("a") is None  # another process of the same node, too
    time.sleep(SECONDS)
    assert not owner.lease.holds()
    taken = take("b")
    assert taken is not None
    assert taken.lease.epoch == owner.lease.epoch + 1


def test_a_lease_that_is_renewed_stays(owner: Owner, take: Callable[[str], Owner | None]) -> None:
    owner.lease.keep()
    time.sleep(2 * SECONDS)
    assert owner.lease.holds()
    assert take("b") is None
    owner.lease.release()
    assert not owner.lease.holds()
    assert take("b") is not None


def test_a_lease_counts_from_when_it_was_asked_for(session: Session) -> None:
    now = [0]
    lease = Lease(session, 0, 1, 10, 5, lost=lambda: None, clock=lambda: now[0])
    now[0] = 5 + 9 * 10**9 - 1
    assert lease.holds()
    now[0] += 1
    assert not lease.holds()  # a tenth of it is left for clocks that differ


def test_who_lost_the_lease_commits_nothing(owner: Owner, successor: Owner) -> None:
    with pytest.raises(LeaseLost):
        owner.append(1)
    assert successor.journal.left() == []
    successor.append(1)
    assert successor.journal.left() == [Record(1, 1, b"block")]


def test_who_lost_the_lease_changes_no_manifest_and_forgets_no_commit(owner: Owner, successor: Owner) -> None:
    successor.append(1)
    with pytest.raises(LeaseLost):
        owner.manifest.update(commit=1)
    assert manifest_of(owner.session, successor.lease).state.commit == 0
    owner.manifest = Manifest(owner.manifest.state, lambda _: None)
    owner.manifest.update(commit=1)
    zombie = JournalTable(NO_ENGINE, owner.session, owner.session, owner.lease, owner.manifest)
    with pytest.raises(LeaseLost):
        zombie.forget()
    assert successor.journal.left() == [Record(1, 1, b"block")]


def test_who_lost_the_lease_is_told_so(session: Session) -> None:
    told = threading.Event()
    lease = Lease.take(session, 0, ("a", "http://a"), SECONDS, told.set)
    assert lease is not None
    session.rows("UPDATE leases SET epoch = epoch + 1")
    lease.keep()
    assert told.wait(5)
    assert not lease.holds()


def test_a_commit_under_way_and_a_takeover_come_one_after_the_other(owner: Owner) -> None:
    conninfo = owner.session._conninfo
    other = Session(conninfo.replace("postgresql:", "postgresql+psycopg:"))
    appended = {"shard": 0, "epoch": owner.lease.epoch, "commit": 1, "events": 1, "block": zstandard.compress(b"block")}
    taken: list[Lease | None] = []
    with psycopg.connect(conninfo) as connection, closing(other):
        owner.session.rows("UPDATE leases SET expires_at = clock_timestamp()")
        assert connection.execute(APPEND.encode(), appended).rowcount == 1
        taking = threading.Thread(
            target=lambda: taken.append(Lease.take(other, 0, ("b", "http://b"), SECONDS, lambda: None))
        )
        taking.start()
        taking.join(0.5)
        assert taking.is_alive()  # it waits for the commit that is under way, which it will see
        connection.commit()
        taking.join()
    assert taken[0] is not None
    assert Owner(owner.session, taken[0]).journal.left() == [Record(1, 1, b"block")]


def test_a_commit_that_may_have_come_through_is_taken_back(owner: Owner, monkeypatch: pytest.MonkeyPatch) -> None:
    owner.append(1, b"sure")
    rows = owner.session.rows

    def broken(sql: str, parameters: Any) -> list[Any]:
        rows(sql, parameters)
        raise DatabaseUnavailable("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(owner.session, "rows", broken)
        with pytest.raises(DatabaseUnavailable):
            owner.append(2, b"unknown")
    late = {"shard": 0, "epoch": owner.lease.epoch, "commit": 3, "events": 1, "block": b"late"}
    owner.append(4, b"again")
    assert [record.commit for record in owner.journal.left()] == [1, 4]
    assert owner.session.rows(APPEND, late) == []  # what was still on its way comes too late


def test_a_clock_that_is_an_hour_off_is_told_and_changes_no_lease(
    session: Session, owner: Owner, take: Callable[[str], Owner | None]
) -> None:
    late = Membership(session, "late:1", SECONDS)
    late.join("id", {"version": "1", "shards": "1"}, SystemClock().now() + timedelta(hours=1))
    assert 3_590_000 < late.nodes()["late:1"] < 3_610_000
    assert take("late") is None
    assert owner.lease.holds()
    time.sleep(SECONDS)
    assert take("late") is not None


def test_nodes_that_found_a_cluster_at_the_same_time_agree_on_its_shards(new_database: Callable[[], str]) -> None:
    url = new_database()
    ledgers = [SharedLedger.open(url) for _ in range(6)]
    with ThreadPoolExecutor(len(ledgers)) as pool:
        [*pool.map(lambda ledger: ledger.set_shard_map(ShardMap.even(4)), ledgers)]
    assert ledgers[0].shard_map() == ShardMap.even(4)
    for ledger in ledgers:
        ledger.close()

"""Taking a shard's events on a server over: once stored stays once stored, and an earlier owner changes nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from meterhouse.catalog_files import load_catalogs
from meterhouse.clocks import SystemClock
from meterhouse.domain.errors import FolderError
from meterhouse.domain.event import Event, Outcome
from meterhouse.storage.clickhouse.engine.engine import EngineError
from meterhouse.storage.clickhouse.engine.server_engine import ServerEngine
from meterhouse.storage.clickhouse.journal import journal
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from meterhouse.storage.manifest import Batch
from meterhouse.storage.postgresql.ground import ClusterGround, ShardOfNode
from meterhouse.storage.postgresql.membership import Membership
from meterhouse.storage.postgresql.session import Session
from support.engines import RunningFront

METERS = load_catalogs(()).meters()
AT = datetime(2026, 3, 1, tzinfo=UTC)


def events(first: int, count: int = 3) -> list[Event]:
    data = b'{"amount": "1"}'
    return [
        Event("unsiloed", "tests", f"e-{n}", "credit.used", "acme", AT + timedelta(seconds=n), data, {"amount": 1})
        for n in range(first, first + count)
    ]


class Owners:
    """Processes that have the shard, one after the other."""

    def __init__(self, url: str, clickhouse_url: str, folder: Path):
        self.url, self.clickhouse_url, self.folder = url, clickhouse_url, folder
        self.stack = ExitStack()
        self.admin = Session(url)
        self.stack.callback(self.admin.close)
        Membership(self.admin, "a:1", 60).join("c0ffee", {"version": "1", "shards": "1"}, SystemClock().now())

    def ground(self, clickhouse_url: str = "") -> ClusterGround:
        """Whoever has it does not notice."""
        self.admin.rows("UPDATE leases SET expires_at = clock_timestamp()")
        place = ShardOfNode(
            0, self.url, clickhouse_url or self.clickhouse_url, None, "a:1", "http://a:1", 60, self.folder, lambda: None
        )
        ground = ClusterGround(place)
        self.stack.callback(ground.close)
        return ground

    def next(self) -> tuple[ClusterGround, ClickHouseEventStore]:
        ground = self.ground()
        store = ground.open_store(METERS)
        return ground, store


@pytest.fixture
def owners(
    new_database: Callable[[], str],
    clickhouse: RunningFront,
    prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Owners]:
    monkeypatch.setattr(journal, "_STORE_AFTER_SECONDS", 600)  # stored only when asked
    made = Owners(new_database(), f"{clickhouse.url}/{prefix}", tmp_path)
    with made.stack:
        yield made


def test_the_next_owner_has_everything_once(owners: Owners) -> None:
    _, first = owners.next()
    assert first.append(events(0), AT) == [Outcome.INGESTED] * 3
    first._journal.flush()
    first.append(events(3), AT)  # in the journal alone
    ground, second = owners.next()
    assert second.count() == 6
    assert second.append(events(0, 6), AT) == [Outcome.DUPLICATE] * 6
    assert second.latest_commit() == 2
    ground.close()
    _, third = owners.next()
    assert third.count() == 6


def test_rollups_are_taken_over(owners: Owners) -> None:
    _, first = owners.next()
    for number in range(4):
        first.append(events(10 * number, 10), AT)
    while first.materialize(first.latest_commit()):
        pass
    assert first.watermark() == 4
    _, second = owners.next()
    assert second.watermark() == 4
    second.append(events(100), AT)
    while second.materialize(second.latest_commit()):
        pass
    assert second.lag_events() == 0


def test_what_an_earlier_owner_still_does_finds_no_table(owners: Owners) -> None:
    _, first = owners.next()
    first.append(events(0), AT)
    first._journal.flush()
    first.append(events(3), AT)
    _, second = owners.next()
    with pytest.raises(EngineError):
        first._direct.rows("SELECT count() FROM events", {})
    with pytest.raises(EngineError):
        first._direct.insert("events", b"", "0:2-2:1")
    with pytest.raises(EngineError):
        first.materialize(1)
    assert second.count() == 6


def test_an_insert_that_comes_late_counts_once(owners: Owners) -> None:
    """It had been written down, and was on its way when the shard changed hands: inside the server, it ends."""
    _, first = owners.next()
    first.append(events(0), AT)
    [record] = first._journal._waiting
    first._manifest.update(batch=Batch(1, 1))
    _, second = owners.next()
    assert second.count() == 3
    second._direct.insert("events", record.block, "0:1-1:1")
    assert second.count() == 3
    second.append(events(3), AT)
    second._journal.flush()
    second._direct.insert("events", record.block, "0:1-1:1")  # ever so late
    assert second.count() == 6


def test_a_batch_that_was_written_down_is_inserted_as_it_was(owners: Owners) -> None:
    _, first = owners.next()
    first.append(events(0), AT)
    first.append(events(3), AT)
    first.append(events(6), AT)
    blocks = [record.block for record in first._journal._waiting]
    first._manifest.update(batch=Batch(1, 2))
    first._direct.insert("events", b"".join(blocks[:2]), "0:1-2:1")  # and crashed before it knew
    _, second = owners.next()
    assert second.count() == 9
    second._direct.insert("events", b"".join(blocks[:2]), "0:1-2:1")
    assert second.count() == 9


def test_a_server_that_knows_a_token_and_lost_its_part_gets_it_again(owners: Owners) -> None:
    _, first = owners.next()
    first.append(events(0), AT)
    [record] = first._journal._waiting
    first._manifest.update(batch=Batch(1, 1))
    first._direct.insert("events", record.block, "0:1-1:1")
    first._direct.execute("ALTER TABLE events DETACH PARTITION tuple()")
    _, second = owners.next()
    assert second.count() == 3
    assert second.append(events(0), AT) == [Outcome.DUPLICATE] * 3


def test_what_is_there_twice_is_not_passed_over(owners: Owners) -> None:
    _, first = owners.next()
    first.append(events(0), AT)
    [record] = first._journal._waiting
    first._direct.insert("events", record.block, "by another")
    first._direct.insert("events", record.block, "by a third")
    with pytest.raises(FolderError, match="1 to 1 of shard 0 have 3 events, and the server has 6"):
        owners.next()


def test_databases_of_another_shard_are_refused(owners: Owners) -> None:
    _, first = owners.next()
    first.append(events(0), AT)
    first._journal.flush()
    owners.admin.rows("UPDATE cluster SET id = 'another'")
    with pytest.raises(FolderError, match="says of itself 'Meterhouse cluster c0ffee shard 0'"):
        owners.next()
    owners.admin.rows("UPDATE cluster SET id = 'c0ffee'")
    _, second = owners.next()
    assert second.count() == 3


def test_a_server_without_the_events_is_refused(owners: Owners) -> None:
    _, first = owners.next()
    first.append(events(0), AT)
    first._journal.flush()
    ground = owners.ground(owners.clickhouse_url + "_elsewhere")
    with pytest.raises(FolderError, match="with 3 events up to commit 1"):
        ground.open_store(METERS)


def test_an_owner_who_was_overtaken_on_its_way_moves_nothing(owners: Owners) -> None:
    late = owners.ground()
    _, second = owners.next()
    second.append(events(0), AT)
    with pytest.raises(FolderError, match="later owner"):
        late.open_store(METERS)
    assert second.count() == 3
    second._journal.flush()
    assert second.count() == 3


def test_databases_of_earlier_owners_are_dropped(owners: Owners) -> None:
    for _ in range(3):
        _, store = owners.next()
    assert isinstance(store._direct, ServerEngine)
    prefix = owners.clickhouse_url.rpartition("/")[2]
    found = store._direct.rows("SELECT name FROM system.databases WHERE startsWith(name, {p:String})", {"p": prefix})
    assert found == [[f"{prefix}_e3"]]

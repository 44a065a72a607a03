"""Copying events out of a store: each goes to the shard of its organization, and none is left out."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_event_store import AWKWARD, NOW, T0, event

from meterhouse.domain.event import Event
from meterhouse.domain.migration import CommitRange, CopiedContent
from meterhouse.domain.retention import EVERYONE, RETENTION, SOURCE
from meterhouse.domain.shards import ShardMap
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.maintenance.copying import StoredCommits
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.depth import by_depth
from support.stores import open_on, open_store

_numbers = itertools.count()
RECORD = Event("ns", SOURCE, "record", RETENTION, EVERYONE, T0, b"{}", {})


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ClickHouseEventStore, ChdbEngine]]:
    """A data folder's own engine, which is the one that is copied."""
    store, engine = open_on(tmp_path_factory.mktemp("copied"), ChdbEngine)
    engine.execute("CREATE TABLE arrived AS events")
    yield store, engine
    store.close()


def identities(engine: ChdbEngine, table: str, commits: CommitRange) -> list[list[str]]:
    sql = "SELECT namespace, organization, id, commit, position FROM {} WHERE commit > {} AND commit <= {} ORDER BY ALL"
    return engine.rows(sql.format(table, commits.after, commits.upto), {})


@settings(
    max_examples=by_depth(15, 100, 1000), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    batches=st.lists(
        st.lists(st.sampled_from([*AWKWARD, *map(str, range(20)), "\x00", "x" * 300]), min_size=1, max_size=8),
        min_size=1,
        max_size=5,
    ),
    shards=st.integers(1, 5),
    most_bytes=st.sampled_from([1, 500, 2_000, 10**9]),
)
def test_each_event_goes_to_the_shard_of_its_organization(
    opened: tuple[ClickHouseEventStore, ChdbEngine], batches: list[list[str]], shards: int, most_bytes: int
) -> None:
    store, engine = opened
    before = store.latest_commit()
    for organizations in batches:
        store.append([event(f"e{next(_numbers)}", {"n": 1}, org=each) for each in organizations], NOW)
    copies, shard_map = StoredCommits(store._engine), ShardMap.even(shards)
    after, latest = before, store.latest_commit()
    ranges, arrived = [], CopiedContent()
    while after < latest:
        ranges.append(commits := store.copying().fitting(CommitRange(after, latest), most_bytes))
        assert after < commits.upto <= latest
        for shard in range(shards):
            engine.execute("TRUNCATE TABLE arrived")
            if block := b"".join(copies.rows(commits, shard_map, shard)):
                engine.insert("arrived", block)
            rows = identities(engine, "arrived", commits)
            assert rows == [
                each for each in identities(engine, "events", commits) if shard_map.shard_of(each[0], each[1]) == shard
            ]
        after = commits.upto
    if most_bytes == 1:
        assert len(ranges) == len(batches), "a commit is the least"
    if most_bytes == 10**9:
        assert len(ranges) == 1
    whole = CommitRange(before, latest)
    for commits in ranges:
        arrived = arrived.with_shard(copies.content(commits))
    assert arrived == copies.content(whole)
    assert arrived.events == sum(map(len, batches))


def test_every_shard_gets_the_records_of_retention(opened: tuple[ClickHouseEventStore, ChdbEngine]) -> None:
    store, engine = opened
    before = store.latest_commit()
    store.append([event(f"e{next(_numbers)}", {"n": 1}), RECORD], NOW)
    commits = CommitRange(before, store.latest_commit())
    found = store.copying().content(commits)
    assert (found.events, found.records) == (1, 1)
    for shard in range(3):
        engine.execute("TRUNCATE TABLE arrived")
        engine.insert("arrived", b"".join(store.copying().rows(commits, ShardMap.even(3), shard)))
        assert [EVERYONE] in engine.rows("SELECT organization FROM arrived", {})


def test_whatever_differs_has_another_sum(opened: tuple[ClickHouseEventStore, ChdbEngine]) -> None:
    store, engine = opened
    before = store.latest_commit()
    store.append([event(f"e{next(_numbers)}", {"n": 1})], NOW)
    commits = CommitRange(before, store.latest_commit())
    found = store.copying().content(commits)
    changes = (
        "data = concat(data, ' ')",
        "stored_at = addMicroseconds(stored_at, 1)",
        "position = position + 1",
    )
    for change in changes:
        engine.execute(f"ALTER TABLE events UPDATE {change} WHERE commit = {commits.upto} SETTINGS mutations_sync = 1")
        changed = store.copying().content(commits)
        assert changed != found, change
        found = changed


def test_a_shard_whose_latest_commit_has_events_of_others_alone_goes_on_in_time(tmp_path: Path) -> None:
    """What was known at an instant stays known then, though the clock of the next server is behind."""
    store = open_store(tmp_path)
    store.append([event("e1", {})], NOW + timedelta(hours=1))
    store.count()
    store._manifest.update(commit=7)
    store.close()
    store = open_store(tmp_path)
    assert store.latest_commit() == 7
    store.append([event("e2", {})], NOW)
    [first, second] = sorted(store.find([event(each, {}).identity for each in ("e1", "e2")]), key=lambda it: it.at)
    assert second.at.commit == 8
    assert NOW < first.stored_at <= second.stored_at
    store.close()

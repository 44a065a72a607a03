"""A folder that an earlier version wrote opens, and answers the same. Nothing is asked of the operator."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from meterhouse.storage.clickhouse.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.queries import INDEXES, TABLES_WITH_SETTINGS
from moving import Filled, running

# Of the events table as it was; the columns have been the same ever since.
INDEXES_THEN = {
    "the first": "INDEX identity_index identity TYPE bloom_filter(0.001) GRANULARITY 1",
    "with an index of commits": "INDEX identity_index identity TYPE bloom_filter(0.001) GRANULARITY 1, "
    "INDEX commit_index commit TYPE minmax GRANULARITY 1",
}
CREATE_THEN = """
CREATE TABLE events (
    namespace    LowCardinality(String),
    organization String,
    type         LowCardinality(String),
    time         DateTime64(6, 'UTC'),
    source       String CODEC(ZSTD(1)),
    id           String CODEC(ZSTD(1)),
    identity     UInt64,
    commit       UInt64 CODEC(ZSTD(1)),
    position     UInt32,
    stored_at    DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    data         String CODEC(ZSTD(1)),
    numbers      Map(LowCardinality(String), Decimal(76, 28)) CODEC(ZSTD(1)),
    {indexes}
)
ENGINE = MergeTree ORDER BY (namespace, organization, type, time)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """What a server was filled with, which is stopped now."""
    with running(tmp_path_factory.mktemp("old") / "data") as server:
        made = Filled(server)
        assert server.stop() == 0
    return made


def blocks(data: Path) -> list[bytes]:
    """The events of each commit."""
    engine = ChdbEngine(data / "events")
    try:
        [[newest]] = engine.rows("SELECT max(commit) FROM events", {})
        statement = "SELECT * FROM events WHERE commit = {commit:UInt64}"
        return [b"".join(engine.stream(statement, {"commit": each}, "Native")) for each in range(1, newest + 1)]
    finally:
        engine.close()


def make_old(data: Path, events: list[bytes], indexes: str, ledger: Path) -> None:
    data.mkdir(mode=0o700)
    (data / "format").write_text("1")
    engine = ChdbEngine(data / "events")
    engine.execute(CREATE_THEN.format(indexes=indexes))
    for block in events:
        engine.insert("events", block)
    engine.close()
    shutil.copy(ledger, data / "ledger.sqlite")
    with sqlite3.connect(data / "ledger.sqlite") as connection:
        connection.execute("DROP TABLE request_counts")
        connection.execute("DROP TABLE secrets")
        connection.execute("DROP TABLE turns")
        connection.execute("ALTER TABLE organizations DROP COLUMN purged_at")
        assert connection.execute("UPDATE alembic_version SET version_num = '0001'").rowcount == 1
    connection.close()


@pytest.mark.parametrize("then", INDEXES_THEN)
def test_an_old_folder_answers_the_same_and_knows_every_event(filled: Filled, tmp_path: Path, then: str) -> None:
    made = filled.server.data
    data = tmp_path / "data"
    make_old(data, blocks(made), INDEXES_THEN[then], made / "ledger.sqlite")
    with running(data) as server:
        filled.check(server, filled.secrets)
        assert server.stop() == 0
    assert (data / "format").read_text() == "3"  # a version that knows nothing of the manifest keeps away from now on
    with running(data) as server:  # what the first start began is done
        filled.check(server, filled.secrets)
        assert server.stop() == 0
    engine = ChdbEngine(data / "events")
    assert {name for [name] in engine.rows(INDEXES, {})} == {"commit_index", "by_identity"}
    for _, definition in engine.rows(TABLES_WITH_SETTINGS, {}):
        assert "min_rows_to_fsync_after_merge = 1" in definition
    engine.close()

"""The table of events, its settings and its index of identities."""

from __future__ import annotations

from collections.abc import Mapping

from .table_form import EMBEDDED, TableForm

# Sorted for the reads: an organization's events of one type lie together in time order. Not partitioned, so that one
# insert is one part and therefore atomic. `commit` and `position` order events as they were stored.
# `by_identity` has for every part where its identities are. It is written, merged and checked with its part, so that it
# never disagrees. Granules and blocks are small because what it finds is single events, far apart.
_COLUMNS_OF_EVENTS = """(
    namespace    LowCardinality(String),
    organization String,
    type         LowCardinality(String),
    time         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    source       String CODEC(ZSTD(1)),
    id           String CODEC(ZSTD(1)),
    identity     UInt64,
    commit       UInt64 CODEC(ZSTD(1)),
    position     UInt32 CODEC(T64, LZ4),
    stored_at    DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    data         String CODEC(ZSTD(1)),
    numbers      Map(LowCardinality(String), Decimal(76, 28)) CODEC(ZSTD(1)),
    INDEX commit_index commit TYPE minmax GRANULARITY 8,
    PROJECTION by_identity INDEX identity TYPE basic
)"""
_SETTINGS_WHEN_MADE = {
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "index_granularity": 1024,
    "min_compress_block_size": 16384,
}

# What both tables need besides, also those that an earlier version made. A merge or a change in place removes what it
# was made from: it is on the disk before. Broken parts never keep the engine from starting, and are never dropped: what
# is missing is told by the manifest. Indexes are read when a table is loaded, where damage makes a part a broken one;
# read later, it would end the process.
SETTINGS = {
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "min_rows_to_fsync_after_merge": 1,
    "max_suspicious_broken_parts": 1_000_000_000,
    "max_suspicious_broken_parts_bytes": 1_000_000_000_000_000,
    "primary_key_lazy_load": 0,
    # Parts are merged when this many of about one size have come together. By default it is 5, and all below 5 MB count
    # as of one size: a part of ten thousand events was merged again with every four small ones that came.
    "merge_selector_base": 12,
}


def create_events(form: TableForm) -> str:
    """Makes the table of events where there is none."""
    return f"""
CREATE TABLE IF NOT EXISTS events{form.on_cluster} {_COLUMNS_OF_EVENTS}
ENGINE = {form.table_engine("MergeTree")} ORDER BY (namespace, organization, type, time)
SETTINGS {listed(_SETTINGS_WHEN_MADE | form.remembered_tokens)}
"""


def listed(settings: Mapping[str, int]) -> str:
    """Settings as a statement has them."""
    return ", ".join(f"{name} = {value}" for name, value in settings.items())


CREATE_EVENTS = create_events(EMBEDDED)

TABLES_WITH_SETTINGS = """
SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND name IN ('events', 'rollups')
"""
MODIFY_SETTINGS = "ALTER TABLE {} MODIFY SETTING {}"

# What the engine leaves out while it looks for the first rows of an order is a guess that several threads share. Under
# load, rows were compared with a value of another column of the order: a statement failed, "Cannot parse DateTime", and
# where both columns have one type, rows can be missing.
STATEMENT_SETTINGS = {"use_top_k_dynamic_filtering": 0, "use_skip_indexes_for_top_k": 0}

# A commit is far below these, so that it becomes exactly one part.
INSERT_SETTINGS = {
    "max_insert_threads": 1,
    "input_format_parallel_parsing": 0,
    "max_insert_block_size": 10_000_000,
    "min_insert_block_size_rows": 10_000_000,
    "min_insert_block_size_bytes": 4_000_000_000,
}

# Gives the system back the memory that the engine keeps for its next large statement.
RELEASE_MEMORY = "SYSTEM JEMALLOC PURGE"

FOLDER_OF_TABLE = """
SELECT data_paths[1] FROM system.tables WHERE database = currentDatabase() AND name = {table:String}
"""
PARTS_OF_TABLE = """
SELECT name FROM system.parts WHERE active AND database = currentDatabase() AND table = {table:String}
"""

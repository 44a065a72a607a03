"""The table of rollups, and the tables that a materialization is put together in."""

from __future__ import annotations

import xxhash

from ..engine.table_form import EMBEDDED, TableForm

# Everything in it can be made again from the events. A row is a part of an aggregate; rows with the same key belong
# together, whether they are merged already or not. There is one table, so that one insert is all of a materialization
# or none of it.
#
#   width  slot        key            what it holds
#   1, 96  of a slot   text of group  COUNT, SUM, MIN, MAX, LATEST of the events in a quarter of an hour, or a day (UTC)
#          or day      ''             UNIQUE: how many values there are that are in this slot and in no other
#                      value          UNIQUE: a value that is in this slot and in others
#                      text of group  CREATED, CHANGED: how many entities of that time are in a state
#   0      0           value          UNIQUE: the first and the last slot of each value
#                      entity         STATE: its first event, its latest state, what it said last of the group
#                      ''             FIRST: the organization's first event
#
# A row without an organization has the watermark of its definition.
_TABLE_COLUMNS = """(
    series       UInt64,
    organization String,
    width        UInt8,
    slot         UInt32 CODEC(Delta, ZSTD(1)),
    key          String CODEC(ZSTD(1)),
    state        LowCardinality(String) CODEC(ZSTD(1)),
    events       SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    total        SimpleAggregateFunction(sum, Decimal(76, 28)) CODEC(ZSTD(1)),
    lowest       SimpleAggregateFunction(min, Decimal(76, 28)) CODEC(ZSTD(1)),
    highest      SimpleAggregateFunction(max, Decimal(76, 28)) CODEC(ZSTD(1)),
    first        SimpleAggregateFunction(min, Int64) CODEC(ZSTD(1)),
    last         SimpleAggregateFunction(max, Int64) CODEC(ZSTD(1)),
    latest       SimpleAggregateFunction(max, Tuple(Int64, UInt64, UInt32, String)) CODEC(ZSTD(1)),
    said         SimpleAggregateFunction(max, Tuple(Int64, UInt64, UInt32, String)) CODEC(ZSTD(1)),
    watermark    SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)"""


def _engine(kind: str) -> str:
    return f"""
ENGINE = {kind} ORDER BY (series, organization, width, slot, key, state)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, min_compress_block_size = 16384
"""


def _columns_and_engine(form: TableForm) -> str:
    return f"{_TABLE_COLUMNS}{_engine(form.table_engine('AggregatingMergeTree'))}"


LAYOUT = f"1 {xxhash.xxh3_64_hexdigest(_columns_and_engine(EMBEDDED).encode())}"
"""Which rollups these are, wherever they are; the first number is raised when they are made in another way. Others are
useless."""
LAYOUT_OF_ROLLUPS = "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = 'rollups'"


def replace_rollups(form: TableForm) -> str:
    """Makes the table of rollups anew, without any."""
    return f"CREATE OR REPLACE TABLE rollups{form.on_cluster} {_columns_and_engine(form)} COMMENT '{LAYOUT}'"


# A materialization is many small statements: the engine analyzes and reads what is inside a large one again for each
# mention. A small one is collected in memory, because each insert into a table on disk takes as long as thousands
# of rows; a large one goes to disk as it is made. Either way it is one part, on disk, of a table that nobody reads,
# before it becomes part of the other in one step: of several parts a crash could leave some.
VERSIONED_TYPE = "Tuple(Int64, UInt64, UInt32, String)"
_STEPS = {
    "staged": _TABLE_COLUMNS,
    "fresh_values": "(series UInt64, organization String, value String, slots Array(UInt32))",
    "compared_values": "(series UInt64, organization String, value String, earliest UInt32, newest UInt32,"
    " place UInt32, gained Int64, shared Array(UInt32))",
    "fresh_entities": "(series UInt64, organization String, entity String,"
    f" latest {VERSIONED_TYPE}, created Int64, s0 {VERSIONED_TYPE})",
    "compared_entities": "(series UInt64, organization String, entity String, known UInt8,"
    f" old_latest {VERSIONED_TYPE}, old_created Int64, old_said {VERSIONED_TYPE},"
    f" now_latest {VERSIONED_TYPE}, now_created Int64, now_said {VERSIONED_TYPE})",
}
# Merged as it stands: what has the same key is put together in the other table, or when it is read. The engine does not
# merge of its own accord, which would be done once more at the end. These tables are of the server that materializes,
# whichever others there are.
CREATE_STAGING = [
    f"CREATE OR REPLACE TABLE staging {_TABLE_COLUMNS}{_engine('MergeTree')},"
    " max_bytes_to_merge_at_max_space_in_pool = 1, min_rows_to_fsync_after_merge = 1,"
    " vertical_merge_algorithm_min_columns_to_activate = 1",
    *(f"CREATE OR REPLACE TABLE {name} {columns} ENGINE = Memory" for name, columns in _STEPS.items()),
]
EMPTY_STEPS = [f"TRUNCATE TABLE {name}" for name in _STEPS]
EMPTY_STAGING = ["TRUNCATE TABLE staging", *EMPTY_STEPS]
MERGE_STAGING = "OPTIMIZE TABLE staging FINAL SETTINGS optimize_throw_if_noop = 1"
ATTACH_STAGING = "ALTER TABLE rollups ATTACH PARTITION tuple() FROM staging"

PARTS_OF_ROLLUPS = """
SELECT min_block_number, max_block_number FROM system.parts
WHERE database = currentDatabase() AND table = 'rollups' AND active ORDER BY min_block_number
"""

WATERMARKS = "SELECT series, max(watermark) FROM rollups WHERE organization = '' GROUP BY series"

EVENTS_OF_COMMITS = """
SELECT commit, namespace, type, count() FROM events WHERE commit > {after:UInt64} AND commit <= {upto:UInt64}
GROUP BY commit, namespace, type ORDER BY commit
"""

EVENTS_AFTER = "SELECT count() FROM events WHERE commit > {commit:UInt64}"

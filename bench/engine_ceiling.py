"""What the engine itself takes: NDJSON straight into a plain table, durable like ours. A process of its own."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import chdb
import msgspec

# The attributes of a CloudEvent as they come, with the sort order of ours, nothing computed and nothing looked up.
_CREATE = """
CREATE TABLE ceiling (
    specversion LowCardinality(String), id String, source String, type LowCardinality(String), subject String,
    time DateTime64(6, 'UTC'), data String
) ENGINE = MergeTree ORDER BY (subject, type, time) SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""
_INSERT = (
    "INSERT INTO ceiling SETTINGS date_time_input_format = 'best_effort', "
    "input_format_json_read_objects_as_strings = 1 FORMAT JSONEachRow "
)


def events_per_s(folder: Path, bodies: list[bytes]) -> float:
    """Events a second, one insert a body."""
    texts = [body.decode() for body in bodies]
    connection = chdb.connect(str(folder))
    connection.query(_CREATE)
    began = time.perf_counter()
    for text in texts:
        connection.query(_INSERT + text)
    seconds = time.perf_counter() - began
    stored = int(str(connection.query("SELECT count() FROM ceiling", "TSV")))
    connection.close()
    assert stored == sum(body.count(b"\n") + 1 for body in bodies)
    return stored / seconds


if __name__ == "__main__":
    print(events_per_s(Path(sys.argv[1]), msgspec.msgpack.decode(Path(sys.argv[2]).read_bytes(), type=list[bytes])))

"""The engines under many threads at once, and the embedded one as it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from meterhouse.storage.clickhouse.engine.engine import EngineError
from support.engines import StoreEngine

# In a process of its own: what this is about stands still with Python's global lock held, so that nothing inside the
# process could notice.
SCRIPT = """
import sqlite3, sys, threading
from pathlib import Path
from meterhouse.storage.clickhouse.engine import native
from support.engines import StoreEngine

engine = StoreEngine(Path(sys.argv[1]))
engine.execute("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n")
row = native.encode_block(1, [("n", "UInt64", native.numbers("Q", [1]))])
engine.insert("t", row)
failures = []

def work(number):
    beside = sqlite3.connect(":memory:", check_same_thread=False)  # gives the global lock away often
    try:
        for _ in range(250):
            if number == 0:
                engine.insert("t", row)
            elif engine.rows("SELECT count() > 0 FROM t WHERE n = {n:UInt64}", {"n": 1}) != [[1]]:
                failures.append(number)
            beside.execute("SELECT 1").fetchall()
    except Exception as failure:
        failures.append(failure)

threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(failures, engine.rows("SELECT count() FROM t", {}))
engine.close()
"""


@pytest.mark.embedded
def test_many_threads_ask_and_insert_at_once_and_none_waits_forever(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", SCRIPT, str(tmp_path / "events")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (0, "[] [[251]]\n"), done.stderr


def test_a_stream_that_fails_in_the_middle_says_so_and_one_that_is_closed_ends(tmp_path: Path) -> None:
    engine = StoreEngine(tmp_path / "events")
    try:
        failing = engine.stream("SELECT throwIf(number = 2000000, 'enough') FROM numbers(3000000)", {}, "TSVRaw")
        with pytest.raises(EngineError, match="enough"):
            assert sum(map(len, failing)) > 0
        endless = engine.stream("SELECT number FROM system.numbers", {}, "TSVRaw")
        assert next(endless).startswith(b"0\n1\n2\n")
        endless.close()
        assert engine.rows("SELECT 1", {}) == [[1]]
    finally:
        engine.close()


def test_no_statement_leaves_rows_out_by_what_it_has_found_so_far(tmp_path: Path) -> None:
    engine = StoreEngine(tmp_path / "events")
    try:
        used = "SELECT getSetting('use_top_k_dynamic_filtering'), getSetting('use_skip_indexes_for_top_k')"
        while_another_runs = engine.stream("SELECT number FROM system.numbers", {}, "TSVRaw")
        next(while_another_runs)
        assert engine.rows(used, {}) == [[False, False]]  # on another connection, where there are several
        while_another_runs.close()
        assert engine.rows(used, {}) == [[False, False]]
    finally:
        engine.close()


def test_texts_reach_a_statement_as_they_are(tmp_path: Path) -> None:
    texts = ["it's", "a\\b", "line\nbreak", "tab\tstop", "ü", 'q"q', "]", "a','b", "\\'", "\\n", ""]
    engine = StoreEngine(tmp_path / "events")
    try:
        assert engine.rows("SELECT {p:Array(String)}", {"p": texts}) == [[texts]]
        for text in [*texts, "".join(texts) * 4_000]:
            assert engine.rows("SELECT {p:String}", {"p": text}) == [[text]]
        for many in (texts * 300, texts * 3_000):  # longer than a server takes a parameter
            assert engine.rows("SELECT {p:Array(String)}, {n:UInt8}", {"p": many, "n": 7}) == [[many, 7]]
        numbers = [(1 << 64) - 1 - number for number in range(10_000)]
        assert engine.rows("SELECT {p:Array(UInt64)} = {p:Array(UInt64)}, {p:Array(UInt64)}", {"p": numbers}) == [
            [1, numbers]
        ]
    finally:
        engine.close()


@pytest.mark.embedded
def test_tables_are_loaded_one_after_the_other(tmp_path: Path) -> None:
    engine = StoreEngine(tmp_path / "events")
    try:
        size = "SELECT value FROM system.server_settings WHERE name = 'tables_loader_foreground_pool_size'"
        assert engine.rows(size, {}) == [["1"]]
    finally:
        engine.close()

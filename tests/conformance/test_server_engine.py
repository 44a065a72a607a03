"""An engine on a server: what only a network can do to it, and the statements for servers and clusters."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import clickhouse_connect
import pytest

from meterhouse.domain.errors import Unavailable
from meterhouse.http.problems import meterhouse_error
from meterhouse.storage.clickhouse.engine import native, schema_queries, server_engine
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.engine.engine import EngineError, EngineUnavailable, FullDisk, error_of
from meterhouse.storage.clickhouse.engine.server_engine import ServerEngine
from meterhouse.storage.clickhouse.engine.table_form import EMBEDDED, TableForm
from meterhouse.storage.clickhouse.rollups import table_queries
from support.engines import RunningFront, running_front

PASSWORD = "s3cret/of:ours"
ENCODED = "s3cret%2Fof%3Aours"
ROW = native.encode_block(1, [("n", "UInt64", native.numbers("Q", [1]))])
ON_SERVER = TableForm(on_server=True)
ON_CLUSTER = TableForm(on_server=True, cluster="meterhouse")


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningFront]:
    with running_front(tmp_path_factory.mktemp("front") / "data", "--password", PASSWORD) as front:
        yield front


@pytest.fixture
def engine(front: RunningFront) -> Iterator[ServerEngine]:
    """One that waits for a second, with an empty table that remembers tokens."""
    front.control("resume")
    with closing(opened(front, statement_timeout_s=1)) as engine:
        engine.execute("DROP TABLE IF EXISTS t")
        remembers = schema_queries.listed(ON_SERVER.remembered_tokens)
        engine.execute(f"CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS {remembers}")
        yield engine
        front.control("resume")


def opened(front: RunningFront, **options: int) -> ServerEngine:
    return ServerEngine(f"http://meterhouse:{ENCODED}@127.0.0.1:{front.port}", "default", **options)


def count(engine: ServerEngine) -> int:
    [[count]] = engine.rows("SELECT count() FROM t", {})
    return int(count)


def test_an_insert_that_is_not_answered_in_time_may_be_done_and_is_not_sent_again(
    front: RunningFront, engine: ServerEngine
) -> None:
    front.control("delay?seconds=2")
    began = time.monotonic()
    with pytest.raises(EngineUnavailable):
        engine.insert("t", ROW)
    assert 1 <= time.monotonic() - began < 2
    front.control("resume")
    assert count(engine) == 1


def test_an_insert_whose_connection_ends_is_not_sent_again(front: RunningFront, engine: ServerEngine) -> None:
    front.control("cut")
    with pytest.raises(EngineUnavailable):
        engine.insert("t", ROW)
    front.control("resume")
    assert count(engine) == 1


def test_what_is_inserted_again_with_its_token_is_there_once(front: RunningFront, engine: ServerEngine) -> None:
    front.control("cut")
    with pytest.raises(EngineUnavailable):
        engine.insert("t", ROW, "commits 1 to 2")
    front.control("resume")
    engine.insert("t", ROW, "commits 1 to 2")
    assert count(engine) == 1
    engine.insert("t", ROW, "commits 3 to 3")
    engine.insert("t", ROW)
    engine.insert("t", ROW)
    assert count(engine) == 4


def test_a_server_that_is_gone_is_unavailable_until_it_is_back(front: RunningFront, engine: ServerEngine) -> None:
    front.control("gone")
    for ask in (
        lambda: engine.rows("SELECT 1", {}),
        lambda: engine.execute("TRUNCATE TABLE t"),
        lambda: engine.insert("t", ROW),
        lambda: next(engine.stream("SELECT 1", {}, "TSV")),
        lambda: opened(front),
    ):
        with pytest.raises(EngineUnavailable) as refused:
            ask()
        assert isinstance(refused.value, Unavailable)
        assert str(refused.value) == "the store of events does not answer at the moment: send this again"
        assert str(front.port) in refused.value.reason
        assert PASSWORD not in refused.value.reason
        assert ENCODED not in refused.value.reason
    front.control("resume")
    assert count(engine) == 0


def test_who_asks_while_it_is_gone_is_told_when_to_come_back() -> None:
    request: Any = SimpleNamespace(state=SimpleNamespace(request_id="r1"))
    answer = meterhouse_error(request, EngineUnavailable("where it is, and more that is for logs"))
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert b"logs" not in answer.content


def test_a_server_that_takes_no_connections_is_given_up_soon() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        began = time.monotonic()
        with pytest.raises(EngineUnavailable) as refused:
            ServerEngine(f"http://meterhouse:{ENCODED}@127.0.0.1:{taken.getsockname()[1]}", "default")
        assert time.monotonic() - began < 2
        assert ENCODED not in refused.value.reason


def test_what_was_answered_outlives_the_server(tmp_path: Path) -> None:
    with running_front(tmp_path / "data") as front, closing(ServerEngine(front.url, "default")) as engine:
        engine.execute("CREATE TABLE t (n UInt64) ENGINE = MergeTree ORDER BY n SETTINGS fsync_after_insert = 1")
        engine.insert("t", ROW)
        front.kill()
        with pytest.raises(EngineUnavailable):
            engine.rows("SELECT 1", {})
        front.start()
        assert count(engine) == 1


def test_a_wrong_password_is_refused_and_not_told(front: RunningFront) -> None:
    with pytest.raises(EngineError, match="Authentication failed") as refused:
        ServerEngine(f"http://meterhouse:wrong-one@127.0.0.1:{front.port}", "default")
    assert not isinstance(refused.value, EngineUnavailable)
    assert "wrong-one" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "clickhouse://u:hidden@host:9000",
        "http://u:hidden@host",
        "http://u:hidden@host:port",
        "http://u:hidden@:8123",
        "http://u:hidden@host:8123/path",
        "u:hidden@host:8123",
        "http://u:hidden@[host:8123",
    ],
)
def test_a_url_that_is_none_is_refused_and_not_told(url: str) -> None:
    with pytest.raises(EngineError, match="http") as refused:
        ServerEngine(url, "default")
    assert "hidden" not in str(refused.value)


def test_a_database_that_is_not_there_or_cannot_be_is_refused(front: RunningFront) -> None:
    url = f"http://meterhouse:{ENCODED}@127.0.0.1:{front.port}"
    with pytest.raises(EngineError, match="nowhere"):
        ServerEngine(url, "nowhere")
    with pytest.raises(EngineError, match="name of a database"):
        ServerEngine(url, "it's")


def test_a_server_that_is_too_old_is_refused(front: RunningFront, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_engine, "_OLDEST", (99, 1))
    with pytest.raises(EngineError, match=r"is ClickHouse 26\.\d.*99\.1 is the oldest"):
        opened(front)


def test_codes_of_errors_are_what_they_are_taken_for(engine: ServerEngine) -> None:
    codes = sorted(server_engine._UNAVAILABLE)
    [[names]] = engine.rows(
        "SELECT arrayMap(code -> errorCodeToName(code::Int32), {codes:Array(UInt32)})", {"codes": codes}
    )
    assert names == [
        *("TOO_MANY_SIMULTANEOUS_QUERIES", "SOCKET_TIMEOUT", "NETWORK_ERROR", "NO_ZOOKEEPER", "TABLE_IS_READ_ONLY"),
        *("TOO_MANY_PARTS", "ALL_CONNECTION_TRIES_FAILED", "TOO_FEW_LIVE_REPLICAS"),
        *("UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE", "UNKNOWN_STATUS_OF_INSERT", "KEEPER_EXCEPTION"),
    ]
    assert type(error_of(243, "")) is FullDisk


def test_it_is_no_embedded_one_and_says_so(engine: ServerEngine) -> None:
    assert engine.table_form == ON_SERVER
    assert not hasattr(engine, "freeze")


def test_every_table_of_a_cluster_can_be_parsed_and_of_a_server_made(tmp_path: Path) -> None:
    with closing(ChdbEngine(tmp_path / "events")) as engine:
        for form in (EMBEDDED, ON_SERVER, ON_CLUSTER):
            altered = schema_queries.MODIFY_SETTINGS.format(f"events{form.on_cluster}", "merge_selector_base = 12")
            for sql in (schema_queries.create_events(form), table_queries.replace_rollups(form), altered):
                tree = "\n".join(line for [line] in engine.rows(f"EXPLAIN AST {sql}", {}))
                assert ("ReplicatedMergeTree" in tree) == (
                    form == ON_CLUSTER and sql.lstrip().startswith("CREATE TABLE")
                )
                if form != ON_CLUSTER:
                    engine.execute(sql)
            if form == ON_SERVER:
                made = engine.rows(schema_queries.TABLES_WITH_SETTINGS, {})
                assert ["non_replicated_deduplication_window = 10000" in each for _, each in sorted(made)] == [
                    True,
                    False,
                ]
            if form != ON_CLUSTER:
                engine.execute("DROP TABLE events")


@pytest.mark.parametrize("name", ["", "it's", "a b", "a;b"])
def test_the_name_of_a_cluster_is_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="name of a cluster"):
        TableForm(on_server=True, cluster=name)


@pytest.mark.parametrize("coding", ["lz4", "zstd", "gzip", False])
def test_the_front_speaks_what_the_client_asks_for(
    front: RunningFront, engine: ServerEngine, coding: str | bool
) -> None:
    with closing(
        clickhouse_connect.get_client(
            port=front.port, host="127.0.0.1", username="u", password=PASSWORD, compress=coding, session_id="one"
        )
    ) as client:
        client.command("CREATE TEMPORARY TABLE IF NOT EXISTS kept (n UInt64)")
        client.insert("t", [[5], [6]], column_names=["n"])
        assert client.query("SELECT sum(n) FROM t").result_rows == [(11,)]
        assert client.query("SELECT number FROM numbers(200000)").row_count == 200_000
        assert client.query("SELECT count() FROM kept").result_rows == [(0,)]
    with pytest.raises(EngineError, match="kept"):
        engine.rows("SELECT count() FROM kept", {})


def test_nothing_of_a_request_is_left_for_the_next(engine: ServerEngine) -> None:
    engine.execute("SET max_block_size = 7")
    engine.execute("CREATE DATABASE other")
    engine.execute("USE other")
    told = engine.rows("SELECT currentDatabase(), getSetting('max_block_size') = 7", {})
    engine.execute("DROP DATABASE other")
    assert told == [["default", False]]

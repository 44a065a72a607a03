"""Rows of a real PostgreSQL: each is stored once, whenever it is committed, and whatever is killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
from ingests import AT, remote, used
from test_watch import until

from meterhouse.cli.event_sources.state_file import StateFile
from meterhouse.cli.terminal import Failed
from support.processes import Process, run_meterhouse
from support.server import Server

TABLE = """
CREATE TABLE usage (
  id bigserial PRIMARY KEY, at timestamptz NOT NULL DEFAULT '2026-03-01T00:00:00Z', amount numeric, note text
)
"""
Connection = psycopg.Connection[tuple[Any, ...]]


@pytest.fixture
def source(database: str) -> Iterator[Connection]:
    """The database of a product."""
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute(TABLE)
        yield connection


def command(
    org: str, state: Path, *more: str, cursor: str = "id", place: tuple[str, ...] = ("--table", "usage")
) -> list[str]:
    mapping = ("--row.type", "credit.used", "--row.time", "at", "--row.subject", org, "--row.column.amount", "amount")
    where = ("--namespace", "unsiloed", "--cursor", cursor, "--state", str(state), *place)
    return ["source", "postgresql", *where, *mapping, *more]


def read(server: Server, database: str, arguments: list[str]) -> tuple[int, dict[str, int], str]:
    where = () if "--database" in arguments else ("--database", database)
    done = run_meterhouse(*arguments, *where, "--json", environment=remote(server))
    assert b"Traceback" not in done.stderr, done.stderr.decode()
    return done.returncode, json.loads(done.stdout) if done.stdout else {}, done.stderr.decode()


@contextmanager
def following(server: Server, database: str, arguments: list[str], said: Path) -> Iterator[Process]:
    said.touch()
    where = ("--database", database, "--follow", "--poll-seconds", "1")
    process = Process([*arguments, *where], remote(server), printed=said)
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def test_rows_come_once_and_exactly(
    server: Server, org: str, database: str, source: Connection, tmp_path: Path
) -> None:
    source.execute("INSERT INTO usage (amount) VALUES (0.1), (12345678901234567890.0123456789), (NULL), ('NaN'), (2)")
    arguments = command(org, tmp_path / "state", "--refused", str(tmp_path / "refused"))
    code, totals, told = read(server, database, arguments)
    assert (code, totals["ingested"], totals["rejected"]) == (3, 3, 2)
    assert used(server, org) == Decimal("12345678901234567892.1123456789")
    assert "id 3: data.amount is missing" in told
    assert "id 4: data.amount must be a number" in told
    assert json.loads((tmp_path / "state").read_text()) == {"source": "the table usage by id", "cursor": "5"}
    refused = [json.loads(line) for line in (tmp_path / "refused").read_text().splitlines()]
    assert [each["id"] for each in refused] == ["3", "4"]
    assert {each["source"] for each in refused} == {"postgresql:usage"}
    assert read(server, database, arguments)[:2] == (0, dict.fromkeys(totals, 0))
    source.execute("INSERT INTO usage (amount) VALUES (4)")
    assert read(server, database, arguments)[1]["ingested"] == 1
    # From the beginning again, for whoever has lost the state: what is known is a duplicate.
    (tmp_path / "state").unlink()
    assert read(server, database, arguments)[1]["duplicates"] == 4
    listed = server.admin("GET", f"/v1/organizations/{org}/events?meter=credits").json()["events"]
    assert {each["time"] for each in listed} == {AT}


def test_a_query_and_all_kinds_of_values(
    server: Server, org: str, database: str, source: Connection, tmp_path: Path
) -> None:
    source.execute(
        'CREATE TABLE odd ("Key %" text, at timestamp, ok boolean, x float8, doc jsonb, who text, seen timestamptz)'
    )
    source.execute(
        "INSERT INTO odd VALUES ('a%%', '2026-03-01 12:00:00.5', true, 0.1, '{\"a\": [1]}', %s, '2026-03-01 12:00+05'),"
        " ('b%%', 'infinity', false, 1, NULL, 'x', NULL), ('C', '2026-03-01', false, 1, NULL, 'x', NULL)",
        [org],
    )
    columns = [part for name in ("ok", "x", "doc", "seen") for part in (f"--row.column.{name}", name)]
    arguments = [
        *("source", "postgresql", "--namespace", "unsiloed", "--state", str(tmp_path / "state"), "--cursor", "Key %"),
        *("--query", "SELECT *, 1 AS one FROM odd WHERE \"Key %\" LIKE '__%';", "--row.source", "odd"),
        *("--row.type", "credit.used", "--row.time", "at", "--row.subject-column", "who", "--row.column.amount", "one"),
        *("--row.time-zone", "Europe/Zurich", *columns),
    ]
    code, totals, told = read(server, database, arguments)
    assert (code, totals["ingested"], totals["rejected"]) == (3, 1, 1), told
    assert "Key % b%: the time 'infinity' is not" in told
    story = server.admin("GET", "/v1/namespaces/unsiloed/events/odd/a%25").json()
    assert story["data"] == {
        "amount": "1",
        "ok": "true",
        "x": "0.1",
        "doc": '{"a": [1]}',
        "seen": "2026-03-01 07:00:00Z",
    }
    assert story["time"] == "2026-03-01T11:00:00.500000Z"


def test_a_row_that_is_committed_late_is_not_skipped(
    server: Server, org: str, database: str, source: Connection, tmp_path: Path
) -> None:
    """Three ways to have a small number and come late: an open transaction, a number that was taken ahead of the
    INSERT, and an INSERT whose trigger takes its time before PostgreSQL gives the transaction an id."""
    source.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        " IF NEW.note = 'slow' THEN PERFORM pg_sleep(3); END IF; RETURN NEW; END $$"
    )
    source.execute("CREATE TRIGGER slow BEFORE INSERT ON usage FOR EACH ROW EXECUTE FUNCTION slow()")

    def insert_slowly() -> None:
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("INSERT INTO usage (amount, note) VALUES (4, 'slow')")

    arguments, said = command(org, tmp_path / "state"), tmp_path / "said"
    with (
        following(server, database, arguments, said) as process,
        psycopg.connect(database) as opened,
        psycopg.connect(database) as ahead,
    ):
        until(
            lambda: source.execute(
                "SELECT FROM pg_stat_activity WHERE query LIKE '%DESC LIMIT 1' AND pid <> pg_backend_pid()"
            ).fetchall()
        )
        opened.execute("INSERT INTO usage (amount) VALUES (1)")
        [(taken,)] = ahead.execute("SELECT nextval('usage_id_seq')").fetchall()
        slowly = threading.Thread(target=insert_slowly)
        slowly.start()
        time.sleep(0.5)
        source.execute("INSERT INTO usage (amount) VALUES (8)")
        time.sleep(1.5)
        assert used(server, org) == 0, "there are smaller numbers to come"
        slowly.join()
        opened.commit()
        time.sleep(1.2)
        assert used(server, org) == 0, "there is one more"
        ahead.execute("INSERT INTO usage (id, amount) VALUES (%s, 2)", [taken])
        ahead.commit()
        until(lambda: used(server, org) == 15)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert [row[0] for row in source.execute("SELECT amount FROM usage ORDER BY id")] == [1, 2, 4, 8]


def test_a_lag_waits_for_what_transactions_do_not_explain(
    server: Server, org: str, database: str, source: Connection, tmp_path: Path
) -> None:
    """Numbers that an application makes itself: nobody is writing when the greater one is seen."""
    source.execute("INSERT INTO usage (id, amount) VALUES (10, 1)")
    begin = time.monotonic()

    def late() -> None:
        time.sleep(1)
        with psycopg.connect(database, autocommit=True) as other:
            other.execute("INSERT INTO usage (id, amount) VALUES (5, 2)")

    thread = threading.Thread(target=late)
    thread.start()
    read(server, database, command(org, tmp_path / "state", "--lag-seconds", "3"))
    assert time.monotonic() - begin > 3
    thread.join()
    assert used(server, org) == 3


@pytest.mark.thorough
def test_killed_in_the_middle_nothing_is_lost_and_nothing_is_there_twice(
    server: Server, org: str, database: str, source: Connection, tmp_path: Path
) -> None:
    """Killed over and over while rows are written by several at once."""
    over = threading.Event()
    written: list[int] = []

    def write() -> None:
        count = 0
        with psycopg.connect(database) as other:
            while not over.is_set():
                other.execute("INSERT INTO usage (amount) SELECT 1 FROM generate_series(1, 500)")
                time.sleep(0.01)
                other.commit()
                count += 500
        written.append(count)

    source.execute("INSERT INTO usage (amount) SELECT 1 FROM generate_series(1, 20000)")
    writers = [threading.Thread(target=write) for _ in range(2)]
    for each in writers:
        each.start()
    arguments, said = command(org, tmp_path / "state"), tmp_path / "said"
    try:
        for number in range(4):
            seen = used(server, org)
            with following(server, database, arguments, said) as process:
                until(lambda before=seen: used(server, org) > before)
                time.sleep(0.05 * number)
                os.kill(process.pid, signal.SIGKILL)
                process.wait(30)
    finally:
        over.set()
        for each in writers:
            each.join()
    code, totals, told = read(server, database, arguments)
    assert code == 0, told
    assert used(server, org) == 20_000 + sum(written)
    assert source.execute("SELECT count(*) FROM usage").fetchone() == (20_000 + sum(written),)
    assert totals["conflicts"] == 0


@pytest.mark.thorough
def test_a_database_that_was_away_is_asked_again(
    server: Server, org: str, database: str, source: Connection, tmp_path: Path
) -> None:
    said = tmp_path / "said"
    with following(server, database, command(org, tmp_path / "state"), said) as process:
        source.execute("INSERT INTO usage (amount) VALUES (1)")
        until(lambda: used(server, org) == 1)
        source.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE pid <> pg_backend_pid() AND datname = current_database()"
        )
        until(lambda: "tried again every" in said.read_text())
        source.execute("INSERT INTO usage (amount) VALUES (2)")
        until(lambda: used(server, org) == 3)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0


def test_what_cannot_be_is_said(server: Server, org: str, database: str, source: Connection, tmp_path: Path) -> None:
    source.execute("CREATE TABLE twice (n int, at timestamptz DEFAULT now(), amount int)")
    source.execute("INSERT INTO twice VALUES (1), (1)")
    source.execute("CREATE TABLE without (n int, at timestamptz DEFAULT now(), amount int)")
    source.execute("INSERT INTO without VALUES (1), (NULL)")
    (tmp_path / "other").write_text('{"source":"the table bills by id","cursor":"1"}')
    (tmp_path / "garbage").write_text("{")
    state = tmp_path / "state"
    secret = "postgresql://u:hid den@nowhere"
    cases = [
        (command(org, state, place=("--table", "twice"), cursor="n"), "two rows have the n '1'"),
        (command(org, state, place=("--table", "without"), cursor="n"), "rows whose n is NULL"),
        (command(org, tmp_path / "other"), "is about the table bills by id"),
        (command(org, tmp_path / "garbage"), "is not a state"),
        (command(org, state, place=("--table", "absent")), 'relation "absent" does not exist'),
        (command(org, state, place=("--table", "u; DROP TABLE usage")), "does not exist"),
        (command(org, state, cursor="absent"), 'column "absent" does not exist'),
        (command(org, state, place=("--query", "DELETE FROM usage RETURNING *"), cursor="id"), "--row.source"),
        (
            command(org, state, "--row.source", "x", place=("--query", "SELECT *, nextval('usage_id_seq') FROM usage")),
            "read-only",
        ),
        (command(org, state, place=()), "name a table with --table, or a query"),
        (command(org, state, "--poll-seconds", "0"), "must be at least 1"),
        (command(org, state, "--database", secret), "not named by a PostgreSQL URL"),
        (command(org, state, "--database", "postgresql://u:hidden@127.0.0.1:1/x"), "onnection refused"),
    ]
    source.execute("INSERT INTO usage (amount) VALUES (1)")
    for arguments, words in cases:
        code, _, told = read(server, database, arguments)
        assert code == 1, arguments
        assert words in told
        assert "hid" not in told
    assert source.execute("SELECT count(*) FROM usage").fetchone() == (1,)
    assert not state.exists()


def test_a_state_that_is_written_is_whole(tmp_path: Path) -> None:
    state = StateFile(tmp_path / "state", "a")
    assert state.read() is None
    for cursor in ("1", "株"):
        state.write(cursor)
        assert state.read() == cursor
    assert [each.name for each in tmp_path.iterdir()] == ["state"]
    with pytest.raises(Failed, match="cannot be written"):
        StateFile(tmp_path / "absent" / "state", "a").write("1")


def test_a_password_may_be_where_libpq_looks_for_it(database: str, source: Connection, tmp_path: Path) -> None:
    """And a data folder may be the target, which takes no setting that it does not know."""
    source.execute("INSERT INTO usage (amount) VALUES (1), (2)")
    parts = psycopg.conninfo.conninfo_to_dict(database)
    environment = {f"PG{name.upper()}": str(parts[name]) for name in ("host", "user")}
    done = run_meterhouse(
        *command("acme", tmp_path / "state"),
        *("--data", str(tmp_path / "data"), "--database", f"dbname={parts['dbname']}"),
        environment={**environment, "PGDATABASE": "absent"},
    )
    assert (done.returncode, done.stdout) == (0, b"2 ingested, 0 duplicates, 0 conflicts, 0 rejected\n"), done.stderr


def test_rows_of_one_place_come_together(
    server: Server, org: str, database: str, source: Connection, tmp_path: Path
) -> None:
    """More than are read at once, with a column that tells them apart."""
    source.execute("INSERT INTO usage (amount) SELECT 1 FROM generate_series(1, 7000)")
    arguments = command(org, tmp_path / "state", "--row.id", "id", cursor="at")
    assert read(server, database, arguments)[1]["ingested"] == 7_000

"""A folder that is watched: whole files are ingested once and put aside; a kill anywhere loses and doubles nothing."""

from __future__ import annotations

import gzip
import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from ingests import AT, mapped, remote, used

from support.processes import Process
from support.server import Server, event, serve

SETTLE = ("--settle-seconds", "1")


@contextmanager
def watching(folder: Path, environment: dict[str, str], *options: str) -> Iterator[tuple[Process, Path]]:
    """A process that watches, and what it says."""
    said = folder.parent / f"said-{time.monotonic_ns()}"
    said.touch()
    command = ("ingest", "--watch", str(folder), "--namespace", "unsiloed", *SETTLE, *options)
    process = Process(command, environment, printed=said)
    try:
        yield process, said
    finally:
        process.kill()
        process.wait(30)


def until(holds: Callable[[], object], seconds: int = 60) -> None:
    begin = time.monotonic()
    while not holds():
        assert time.monotonic() - begin < seconds
        time.sleep(0.02)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


def without_hash(name: str) -> str:
    return re.sub(r"\.[0-9a-f]{8}(?=\.)", "", name)


def test_files_are_ingested_when_they_are_whole_and_put_aside(server: Server, org: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "waiting.csv").write_text(f"time,amount\n{AT},1\n")
    (folder / "other.csv.part").write_text(f"time,amount\n{AT},100\n")
    (folder / ".hidden.csv").write_text(f"time,amount\n{AT},100\n")
    (folder / "empty.csv").touch()
    with watching(folder, remote(server), *mapped(org), "--json") as (process, said):
        until(lambda: (folder / "done").exists() and names(folder / "done"))
        growing = folder / "growing.csv"
        growing.write_text("time,amount\n")
        for _ in range(12):  # for longer than it takes for a whole one to be taken
            time.sleep(0.2)
            with growing.open("a") as file:
                file.write(f"{AT},2\n")
        assert growing.exists()
        (folder / "some.csv").write_text(f"time,amount\n{AT},4\n{AT},many\n{AT},8\n")
        (folder / "no.csv").write_text("moment,amount\n")
        (folder / "packed.csv.gz").write_bytes(gzip.compress(f"time,amount\n{AT},16\n".encode()))
        until(lambda: len(names(folder / "done")) == 4 and len(names(folder / "refused")) == 3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert used(server, org) == 1 + 12 * 2 + 4 + 8 + 16
    assert names(folder) == [".hidden.csv", "done", "empty.csv", "other.csv.part", "refused"]
    done = ["growing.csv", "packed.csv.gz", "some.csv", "waiting.csv"]
    assert [without_hash(each) for each in names(folder / "done")] == done
    refused = {without_hash(each): (folder / "refused" / each).read_text() for each in names(folder / "refused")}
    assert refused["some.csv"] == f"time,amount\n{AT},many\n"
    assert refused["no.csv"] == "moment,amount\n"
    assert "has no column 'time'" in refused["no.csv.why.txt"]
    lines = said.read_text().splitlines()
    told = [json.loads(line) for line in lines if line.startswith("{")]
    assert {each["file"]: each["ingested"] for each in told} == {
        "waiting.csv": 1,
        "growing.csv": 12,
        "some.csv": 2,
        "no.csv": 0,
        "packed.csv.gz": 1,
    }
    assert any("line 3: data.amount must be a number" in line for line in lines)


def test_two_files_of_one_name_stand_beside_each_other(server: Server, org: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    with watching(folder, remote(server), *mapped(org)) as (process, _):
        for number in (1, 2):
            # As they should come: under another name, and renamed when they are whole.
            (folder / "daily.tmp").write_text(f"time,amount\n{AT},{number}\n")
            (folder / "daily.tmp").rename(folder / "daily.csv")
            until(lambda: not (folder / "daily.csv").exists())
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
    assert len(names(folder / "done")) == 2
    assert used(server, org) == 3


def test_a_file_waits_for_a_server_that_is_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "events.ndjson").write_text(json.dumps(event("credit.used", "acme", {"amount": 5})) + "\n")
    with serve(tmp_path / "data", now="2026-03-15T12:00:00Z") as first:
        first.admin("POST", "/v1/organizations", {"id": "acme", "name": "Acme", "namespace": "unsiloed"})
        environment, port = remote(first), first.port
        first.stop()
    with watching(folder, environment) as (process, said):
        until(lambda: "events.ndjson waits" in said.read_text())
        time.sleep(1)
        assert said.read_text().count("waits") == 1, "it is told once"
        monkeypatch.setattr("support.server.free_port", lambda: port)
        with serve(tmp_path / "data", now="2026-03-15T12:00:00Z") as second:
            until(lambda: not (folder / "events.ndjson").exists())
            assert used(second, "acme") == 5
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0


@pytest.mark.thorough
def test_a_kill_in_the_middle_doubles_nothing(server: Server, org: str, tmp_path: Path) -> None:
    """Killed at five moments, once right before the file is put aside; each time it begins anew."""
    folder = tmp_path / "in"
    folder.mkdir()
    rows = 30_000
    (folder / "large.csv").write_text(f"time,amount\n{AT},first\n" + f"{AT},1\n" * (rows - 2) + f"{AT},x\n")
    for number in range(5):
        with watching(folder, remote(server), *mapped(org)) as (process, _):
            until(lambda seen=number: used(server, org) > 5_000 * seen or not (folder / "large.csv").exists())
            os.kill(process.pid, signal.SIGKILL)
            process.wait(30)
    with watching(folder, remote(server), *mapped(org)) as (process, _):
        until(lambda: not (folder / "large.csv").exists())
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert used(server, org) == rows - 2
    [kept] = names(folder / "refused")
    assert (folder / "refused" / kept).read_text() == f"time,amount\n{AT},first\n{AT},x\n"

"""Backups, restoring them, and exports: what arrives elsewhere answers with the same bytes."""

from __future__ import annotations

import hashlib
import io
import json
import os
import socket
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet
import pytest

from meterhouse.catalog_files import load_catalogs
from meterhouse.storage.folder import FORMAT
from support.books import ENDPOINTS
from support.moving import (
    EVENTS,
    SPACED,
    SPACED_DATA,
    STRANGE,
    Filled,
    answers,
    events_of,
    meterhouse,
    open_accounts,
    running,
)
from support.server import ADMIN_KEY, Server, event
from support.tars import members, packed


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Filled]:
    with running(tmp_path_factory.mktemp("moving") / "data") as server:
        yield Filled(server)


@pytest.fixture(scope="module")
def backup(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Taken while others write; of those, the first requests are in it and no later ones."""
    file = tmp_path_factory.mktemp("backup") / "backup.tar"
    stop, acknowledged = threading.Event(), []

    def load() -> None:
        while not stop.is_set():
            batch = [event("load", "loaded", {}, id=f"{len(acknowledged)}-{n}") for n in range(7)]
            filled.server.send("unsiloed", batch)
            acknowledged.append(batch)

    thread = threading.Thread(target=load)
    thread.start()
    while len(acknowledged) < 20:
        time.sleep(0.01)
    certain = len(acknowledged)
    try:
        meterhouse("backup", str(file), *filled.url)
    finally:
        stop.set()
        thread.join()
    assert certain < len(acknowledged)
    assert file.stat().st_mode & 0o777 == 0o600
    exported = meterhouse("export", "-", "--data", str(restored(file)), "--organization", "loaded").stdout
    found = [json.loads(line)["id"] for line in exported.splitlines()]
    assert len(found) % 7 == 0
    assert certain <= len(found) // 7 <= len(acknowledged)
    assert found == [f"{number // 7}-{number % 7}" for number in range(len(found))]
    return file.read_bytes()


def restored(file: Path) -> Path:
    data = file.parent / "restored"
    meterhouse("restore", str(file), "--data", str(data))
    return data


def test_a_restored_server_answers_the_same_bytes_and_knows_every_event(
    filled: Filled, backup: bytes, tmp_path: Path
) -> None:
    data = tmp_path / "deep" / "data"
    data.mkdir(parents=True)
    told = meterhouse("restore", "-", "--data", str(data), stdin=backup).stderr.decode()
    assert f"restored {json.loads(members(backup)['manifest.json'])['events']:,} events" in told
    assert [each.name for each in data.parent.iterdir()] == ["data"]
    assert data.stat().st_mode & 0o777 == 0o700
    with running(data) as other:
        filled.check(other, filled.secrets)


@pytest.mark.thorough
def test_a_folder_is_backed_up_without_a_server(backup: bytes, filled: Filled, tmp_path: Path) -> None:
    """And a backup of what was restored can be restored, through standard output and input."""
    first, second = tmp_path / "first", tmp_path / "second"
    meterhouse("restore", "-", "--data", str(first), stdin=backup)
    piped = meterhouse("backup", "-", "--data", str(first))
    meterhouse("restore", "-", "--data", str(second), stdin=piped.stdout)
    assert not list((first / "events").glob("shadow/backup*"))
    with running(second) as other:
        assert answers(other, filled.secrets) == filled.answers


def test_nothing_is_restored_over_something(backup: bytes, tmp_path: Path) -> None:
    for data in (tmp_path / "folder", tmp_path / "file"):
        if data.name == "folder":
            data.mkdir()
            (data / "something").touch()
        else:
            data.touch()
        refused = meterhouse("restore", "-", "--data", str(data), stdin=backup, code=1)
        assert b"is not empty" in refused.stderr
    assert [each.name for each in (tmp_path / "folder").iterdir()] == ["something"]
    existing = tmp_path / "file"
    (tmp_path / "data").mkdir()
    refused = meterhouse("backup", str(existing), "--data", str(tmp_path / "data"), code=1)
    assert b"is there already" in refused.stderr
    refused = meterhouse("restore", str(tmp_path / "absent"), "--data", str(tmp_path / "data2"), code=1)
    assert b"cannot be read" in refused.stderr


def with_manifest(files: dict[str, bytes], /, **changes: Any) -> dict[str, bytes]:
    """The same files with a manifest that says something else, and its right seal."""
    manifest = json.dumps({**json.loads(files["manifest.json"]), **changes}).encode()
    seal = hashlib.sha256(manifest).hexdigest().encode()
    return {**files, "manifest.json": manifest, "manifest.sha256": seal}


def refusal(tmp_path: Path, backup: bytes) -> str:
    """What is said of a backup that is not whole; nothing is left of the attempt."""
    folder = tmp_path / "attempt"
    folder.mkdir(exist_ok=True)
    done = meterhouse("restore", "-", "--data", str(folder / "data"), stdin=backup, code=1)
    assert list(folder.iterdir()) == []
    return done.stderr.decode()


def test_a_backup_that_is_cut_short_is_refused(backup: bytes, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(backup)) as archive:
        [large, *_] = [each for each in archive if each.size > 100_000]
        [manifest] = [each for each in archive if each.name == "manifest.json"]
        [seal] = [each for each in archive if each.name == "manifest.sha256"]
    assert large.name in refusal(tmp_path, backup[: large.offset_data + 5_000])
    assert "has no manifest.json" in refusal(tmp_path, backup[: manifest.offset])
    assert "has no manifest.sha256" in refusal(tmp_path, backup[: seal.offset])
    assert "no backup" in refusal(tmp_path, b"")
    assert "no backup" in refusal(tmp_path, b"something else" * 1_000)


def test_a_backup_that_is_altered_is_refused_with_the_file_at_fault(backup: bytes, tmp_path: Path) -> None:
    files = members(backup)
    data = next(name for name, content in files.items() if name.endswith("data.bin") and len(content) > 1_000)
    for name in (data, "ledger.sqlite", "manifest.json"):
        content = bytearray(files[name])
        content[len(content) // 2] ^= 1
        assert f"{name} is not as it was written" in refusal(tmp_path, packed({**files, name: bytes(content)}))
    missing = {name: content for name, content in files.items() if name != data}
    assert f"lacks {data}" in refusal(tmp_path, packed(missing))
    added = {**files, "events/all_9_9_0/count.txt": b"1"}
    assert "events/all_9_9_0/count.txt is not as" in refusal(tmp_path, packed(added))
    for name in ("../data", "events/../../data", "/tmp/data", "events", "format"):
        assert f"'{name}' is no file of a backup" in refusal(tmp_path, packed({name: b"", **files}))


def test_a_manifest_is_held_to_the_events_and_to_the_format(backup: bytes, tmp_path: Path) -> None:
    files = members(backup)
    events = json.loads(files["manifest.json"])["events"]
    assert f"tells of {events + 1} " in refusal(tmp_path, packed(with_manifest(files, events=events + 1)))
    assert "up to commit 1\n" in refusal(tmp_path, packed(with_manifest(files, commit=1)))
    newer = refusal(tmp_path, packed(with_manifest(files, format=FORMAT + 1, meterhouse="9.9", files="?")))
    assert f"meterhouse 9.9 in data format {FORMAT + 1}, this version reads {FORMAT}: upgrade" in newer
    part = next(name for name in files if name.endswith("columns.txt") and name.count("/") == 2)
    broken = {**files, part: b"no columns"}
    listed = json.loads(files["manifest.json"])["files"]
    listed[part] = {"size": 10, "sha256": hashlib.sha256(b"no columns").hexdigest()}
    assert "cannot be read" in refusal(tmp_path, packed(with_manifest(broken, files=listed)))


def test_an_export_goes_back_in_and_answers_the_same_bytes(filled: Filled, tmp_path: Path) -> None:
    exported = tmp_path / "events.ndjson"
    meterhouse("export", str(exported), *filled.url)
    lines = exported.read_bytes().splitlines()
    with running(tmp_path / "data") as other:
        secrets: dict[str, str] = {}
        open_accounts(other, secrets)
        url = ("--url", str(other.http.base_url))
        done = meterhouse("ingest", str(exported), "--json", *url)
        known = {(each.namespace, name) for each in load_catalogs(()) for name in each.expected_types}
        named = [(each["namespace"], each["type"]) for each in map(json.loads, lines)]
        unmatched = sum(each not in known and not each[1].startswith("meterhouse.") for each in named)
        totals = {"ingested": len(lines), "duplicates": 0, "conflicts": 0, "rejected": 0, "unmatched": unmatched}
        assert json.loads(done.stdout) == totals
        again = meterhouse("export", "-", *url)
        assert sorted(again.stdout.splitlines()) == sorted(lines)
        for namespace in ENDPOINTS:
            one = meterhouse("export", "-", "--namespace", namespace, *url).stdout.splitlines()
            assert one == [line for line in lines if json.loads(line)["namespace"] == namespace]
            assert one
        filled.check(other, secrets)


def test_an_export_has_every_attribute_and_the_order_of_storing(filled: Filled) -> None:
    sent = [json.loads(each.json()) for each in events_of("aitronos")]
    exported = [
        json.loads(line)
        for line in meterhouse("export", "-", "--namespace", "aitronos", *filled.url).stdout.splitlines()
    ]
    assert [each.pop("namespace") for each in exported] == ["aitronos"] * EVENTS
    for each in (*sent, *exported):
        each["time"] = each["time"].rstrip("Z").ljust(26, "0")[:26].replace(".000000", "")
    assert [each["id"] for each in exported] == [each["id"] for each in sent]
    chosen = meterhouse("export", "-", "--organization", "nobody ‘yet’", *filled.url).stdout
    [line] = chosen.splitlines()
    assert json.loads(line)["data"] == STRANGE[3]["data"]
    raw = meterhouse("export", "-", "--organization", "unsiloed-1", *filled.url).stdout
    assert SPACED_DATA.replace(b"\n", b" ").replace(b"\r", b" ") in raw


def test_an_export_as_parquet_has_data_byte_for_byte(filled: Filled, tmp_path: Path) -> None:
    file = tmp_path / "events.parquet"
    meterhouse("export", str(file), "--format", "parquet", *filled.url)
    rows = pyarrow.parquet.read_table(file).to_pylist()
    lines = [json.loads(line) for line in meterhouse("export", "-", *filled.url).stdout.splitlines()]
    assert [row["id"] for row in rows] == [line["id"] for line in lines]
    for row, line in zip(rows, lines, strict=True):
        assert json.loads(row["data"]) == line["data"]
        assert row["time"].isoformat(timespec="microseconds").replace("+00:00", "Z") == line["time"]
        assert {name: row[name] for name in ("source", "type", "subject", "namespace")} == {
            name: line[name] for name in ("source", "type", "subject", "namespace")
        }
    assert [row["data"].encode() for row in rows if row["id"] == "spaced"] == [SPACED_DATA]


def test_only_the_operator_may_take_things_out(filled: Filled) -> None:
    server = filled.server
    for path in ("/v1/backup", "/v1/export"):
        assert server.http.get(path).status_code == 401
        headers = {"authorization": f"Bearer {filled.secrets['unsiloed-1']}"}
        assert server.http.get(path, headers=headers).status_code == 403
    refused = server.admin("GET", "/v1/export", headers={"accept": "text/html"})
    assert (refused.status_code, refused.json()["code"]) == (406, "not_acceptable")
    assert msgspec.json.decode(server.admin("GET", "/v1/export").content.split(b"\n")[0])


def test_an_event_without_a_namespace_is_named(tmp_path: Path) -> None:
    lines = b"\n".join([SPACED.replace(b'"data"', b'"namespace":"unsiloed","data"') % b"{}", SPACED % b"{}"])
    done = meterhouse("ingest", "-", "--data", str(tmp_path), stdin=lines, code=1)
    assert b"event 2 names no namespace" in done.stderr


def test_a_reader_that_stands_still_or_hangs_up_is_no_bother(tmp_path: Path) -> None:
    big = [event("credit.used", "a", {"amount": 1, "text": "x" * 30_000, "n": number}) for number in range(1_000)]
    with running(tmp_path / "data") as server:
        for begin in range(0, len(big), 500):
            server.send("unsiloed", big[begin : begin + 500])
        for path in ("/v1/export", "/v1/backup"):
            with socket.create_connection(("127.0.0.1", server.port)) as stalled:
                head = f"GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {ADMIN_KEY}\r\n\r\n"
                stalled.sendall(head.encode())
                assert stalled.recv(12) == b"HTTP/1.1 200"
                assert any((tmp_path / "data").glob("**/events/shadow/backup*")) == (path == "/v1/backup")
                org = server.organization("unsiloed")
                assert server.send("unsiloed", [event("credit.used", org, {"amount": 1})])["ingested"] == 1
                assert server.usage(org)["meters"]["credits"]["used"] == 1
            deadline = time.monotonic() + 60
            while any((tmp_path / "data").glob("**/events/shadow/backup*")) or threads(server) & {"meterhouse-stre"}:
                assert time.monotonic() < deadline
                time.sleep(0.05)


def threads(server: Server) -> set[str]:
    found = set()
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        with suppress(FileNotFoundError):  # it has just ended
            found.add((task / "comm").read_text().strip())
    return found


def test_what_a_killed_backup_leaves_is_gone_after_the_next_start(tmp_path: Path) -> None:
    with running(tmp_path / "data") as server:
        assert server.stop() == 0
    left = tmp_path / "data" / "events" / "shadow" / "backup1"
    left.mkdir(parents=True)
    with running(tmp_path / "data"):
        assert not left.exists()


def test_a_disk_that_is_full_is_said_and_nothing_half_written_is_left(filled: Filled, tmp_path: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "meterhouse", "backup", "-", *filled.url]
        environment = {**os.environ, "METERHOUSE_ADMIN_KEY": ADMIN_KEY}
        done = subprocess.run(command, env=environment, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (1, b"error: - cannot be written: No space left on device\n")
    shell = f"ulimit -f 100; exec {sys.executable} -m meterhouse backup {tmp_path / 'b.tar'} {' '.join(filled.url)}"
    done = subprocess.run(["bash", "-c", shell], env=environment, stderr=subprocess.PIPE, timeout=60, check=False)
    assert (done.returncode, b"File too large" in done.stderr) == (1, True)
    assert list(tmp_path.iterdir()) == []

"""Whatever is damaged or gone, a start says so, or answers as if nothing were; it never answers wrong."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from meterhouse.cli.client import Client, client_of
from meterhouse.cli.terminal import Failed
from meterhouse.domain.errors import FolderError
from meterhouse.offline import repair, restore, verify
from meterhouse.settings import Settings
from meterhouse.storage.manifest import read_manifest
from meterhouse.wiring import open_meterhouse
from support.depth import by_depth

pytestmark = pytest.mark.thorough  # each case opens a folder that was damaged in its own way

ORGANIZATIONS = ("acme", "globex", "initech")
COMMITS = 3
EVENTS = 9_000
USED = Decimal(EVENTS // len(ORGANIZATIONS))
SETTINGS = Settings(admin_key="test-admin-key-0123456789")


def event(number: int, commit: int) -> bytes:
    organization = ORGANIZATIONS[number % 3]
    # Time grows with the number, so that what is lost of an organization depends on where a file is damaged.
    return msgspec.json.encode(
        {
            "specversion": "1.0",
            "id": f"{commit}-{number}",
            "source": "tests",
            "type": "credit.used",
            "subject": organization,
            "time": f"2026-03-{1 + commit:02}T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}Z",
            "data": {"amount": 1, "note": f"{commit * 7919 + number}"},
        }
    )


SENT = [event(number, commit) for commit in range(COMMITS) for number in range(EVENTS // COMMITS)]


@contextmanager
def started(data: Path) -> Iterator[Client]:
    with open_meterhouse(replace(SETTINGS, data=data)) as meterhouse, client_of(meterhouse) as client:
        yield client


def send(client: Client, events: list[bytes]) -> Counter[str]:
    reports: Counter[str] = Counter()
    for report in client.send_events("unsiloed", events):
        reports.update({name: report[name] for name in ("ingested", "duplicates", "rejected")})
    return reports


def used(client: Client) -> dict[str, Decimal]:
    return {
        each: client.call("GET", f"/v1/organizations/{each}/usage")["meters"]["credits"]["used"]
        for each in ORGANIZATIONS
    }


def folded(client: Client) -> None:
    while (status := client.call("GET", "/v1/rollups"))["watermark"] < status["latest_commit"]:
        time.sleep(0.02)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with three commits, each in a part and rollups of its own, stopped in order."""
    data = tmp_path_factory.mktemp("whole") / "data"
    with started(data) as client:
        for organization in ORGANIZATIONS:
            client.call(
                "POST", "/v1/organizations", {"id": organization, "name": organization, "namespace": "unsiloed"}
            )
        for commit in range(COMMITS):
            begin = commit * EVENTS // COMMITS
            assert send(client, SENT[begin : begin + EVENTS // COMMITS])["ingested"] == EVENTS // COMMITS
            used(client)  # a part of its own, and
            folded(client)  # rollups of its own
    return data


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "data", symlinks=True)
    return tmp_path / "data"


def table(data: Path, name: str) -> Path:
    return (data / "events" / "data" / "default" / name).resolve()


def part_of(data: Path, name: str = "events") -> Path:
    """One in the middle."""
    parts = sorted(table(data, name).glob("all_*"))
    return parts[len(parts) // 2]


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0x10
    path.write_bytes(content)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


FILES_OF_A_PART = [
    "checksums.txt",
    "columns.txt",
    "columns_substreams.txt",
    "count.txt",
    "data.bin",
    "data.cmrk4",
    "default_compression_codec.txt",
    "metadata_version.txt",
    "primary.cidx",
    "serialization.json",
    "skp_idx_commit_index.cmrk4",
    "skp_idx_commit_index.idx2",
]
FILES_OF_AN_INDEX = [f"by_identity.proj/{name}" for name in FILES_OF_A_PART if not name.startswith("skp")]


def places() -> Iterator[Any]:
    def case(damage: Callable[[Path], None], name: str, place: Callable[[Path], Path]) -> Any:
        return pytest.param(damage, place, id=f"{damage.__name__} {name}")

    for number, name in enumerate(FILES_OF_A_PART + FILES_OF_AN_INDEX):
        kinds = (flip, empty, remove)
        for damage in [*kinds, *kinds][number % 3 :][: by_depth(number % 2, 1, 3)]:  # half of the files at first
            yield case(damage, name, lambda data, name=name: part_of(data) / name)
    yield case(remove, "a part", part_of)
    for name in ("checksums.txt", "data.bin", "count.txt", "primary.cidx"):
        yield case(flip, f"{name} of rollups", lambda data, name=name: part_of(data, "rollups") / name)
    yield case(remove, "a part of rollups", lambda data: part_of(data, "rollups"))
    for name in ("manifest", "ledger.sqlite", "identities.snapshot", "format", "journal/0"):
        for damage in (flip, empty, remove):
            yield case(damage, name, lambda data, name=name: data / name)
    for name in ("events", "journal", "events/metadata"):
        yield case(remove, name, lambda data, name=name: data / name)
    yield case(remove, "the folder of the table", lambda data: table(data, "events"))
    for name in ("events", "rollups"):
        for damage in (flip, empty, remove):
            yield case(
                damage,
                f"the definition of {name}",
                lambda data, name=name: next((data / "events" / "store").glob(f"*/*/{name}.sql")),
            )


@pytest.mark.parametrize(("damage", "place"), [*places()])
def test_a_start_says_what_is_missing_or_answers_as_ever(
    data: Path, damage: Callable[[Path], None], place: Callable[[Path], Path]
) -> None:
    damaged = place(data)
    damage(damaged)
    try:
        check_answers(data)
    except FolderError as stopped:
        assert "repair" in str(stopped) or "version" in str(stopped), stopped
    else:
        return
    assert verify(data, replace(SETTINGS, data=data))
    tried = repair(data, SETTINGS, accept_loss=False)
    if tried.lost:
        with pytest.raises(FolderError):
            check_answers(data)
        accepted = repair(data, SETTINGS, accept_loss=True)
        assert accepted.accepted
        check_what_is_left(data)
    else:
        assert tried.done
        check_answers(data)


def check_answers(data: Path) -> None:
    """They are right; or an error, where what is damaged has to be read."""
    with started(data) as client:
        try:
            assert used(client) == dict.fromkeys(ORGANIZATIONS, USED)
            assert send(client, SENT)["duplicates"] == EVENTS
            client.call("DELETE", "/v1/rollups")
            assert used(client) == dict.fromkeys(ORGANIZATIONS, USED)
        except Failed as failure:
            assert "stored data cannot be read" in str(failure)


def check_what_is_left(data: Path) -> None:
    """Every answer agrees with the events that are there, and those that are lost can be sent again."""
    losses = read_manifest(data / "manifest").state.losses
    assert len(losses) == 1
    with started(data) as client:
        if not client.call("GET", "/v1/organizations"):
            return  # the ledger is new
        left = used(client)
        report = send(client, SENT)
        assert report["ingested"] + report["duplicates"] == EVENTS
        if report["ingested"]:
            assert client.call("GET", "/v1/rollups")["latest_commit"] > COMMITS, "a number was given again"
        assert report["duplicates"] == sum(left.values())
        if losses[0].events is not None:
            assert report["ingested"] == losses[0].events
        assert used(client) == dict.fromkeys(ORGANIZATIONS, USED)


@pytest.mark.parametrize("name", ["data.bin", "data.cmrk4", "primary.cidx"])
def test_without_its_index_every_identity_is_known_all_the_same(data: Path, name: str) -> None:
    for part in table(data, "events").glob("all_*"):
        flip(part / "by_identity.proj" / name)
    with started(data) as client:
        for sent in SENT[::150]:  # one at a time: for very many the engine does without the index
            assert send(client, [sent])["duplicates"] == 1
        assert send(client, SENT)["duplicates"] == EVENTS


def test_a_start_says_what_is_missing_of_whom(data: Path) -> None:
    remove(part_of(data))
    with pytest.raises(FolderError) as stopped, started(data):
        pass
    told = str(stopped.value)
    assert "of 9,000 events up to commit 3 are missing" in told
    assert "commits that are not there: " in told
    assert "stored " in told
    for organization in ORGANIZATIONS:
        assert f"unsiloed/{organization} " in told


def test_what_can_be_read_of_a_damaged_part_is_kept(data: Path) -> None:
    flip(part_of(data) / "data.bin")
    before = verify(data, replace(SETTINGS, data=data))
    assert len(before) == 1
    assert "is damaged" in before[0]
    tried = repair(data, SETTINGS, accept_loss=False)
    assert (tried.accepted, len(tried.lost)) == (False, 1)
    accepted = repair(data, SETTINGS, accept_loss=True)
    assert accepted.accepted
    check_what_is_left(data)
    [loss] = read_manifest(data / "manifest").state.losses
    assert loss.events is not None
    assert 0 < loss.events < EVENTS // COMMITS
    assert verify(data, replace(SETTINGS, data=data)) == []


def test_a_ledger_of_another_time_is_told_from_this_one(data: Path) -> None:
    shutil.copy(data / "ledger.sqlite", data / "older")
    for _ in range(2):
        check_answers(data)
    shutil.copy(data / "ledger.sqlite", data / "newer")
    shutil.copytree(data / "events", data / "kept", symlinks=True)
    shutil.copy(data / "manifest", data / "kept manifest")
    shutil.copy(data / "older", data / "ledger.sqlite")
    with pytest.raises(FolderError, match="the ledger is older than the table of events"):
        check_answers(data)
    shutil.copy(data / "newer", data / "ledger.sqlite")
    check_answers(data)
    shutil.copy(data / "kept manifest", data / "manifest")
    with pytest.raises(FolderError, match="the table of events is older than the ledger"):
        check_answers(data)
    accepted = repair(data, SETTINGS, accept_loss=True)
    assert accepted.accepted
    check_answers(data)


def test_a_damaged_folder_is_not_backed_up_as_whole(data: Path, tmp_path: Path) -> None:
    def backed_up() -> None:
        with started(data) as client, (tmp_path / "backup").open("wb") as file:
            for chunk in client.download("/v1/backup"):
                file.write(chunk)

    backed_up()
    assert verify(tmp_path / "backup", SETTINGS) == []
    with (tmp_path / "backup").open("rb") as source:
        restore(source, tmp_path / "restored")
    check_answers(tmp_path / "restored")
    flip(part_of(data) / "data.bin")
    with pytest.raises(Failed, match="cannot be read"):
        backed_up()


def test_a_backup_is_restored_into_an_empty_disk(data: Path, tmp_path: Path) -> None:
    with started(data) as client, (tmp_path / "backup").open("wb") as file:
        for chunk in client.download("/v1/backup"):
            file.write(chunk)
    disk = tmp_path / "disk"
    (disk / "lost+found").mkdir(parents=True)
    with (tmp_path / "backup").open("rb") as source:
        restore(source, disk)
    assert not (disk / "restoring").exists()
    check_answers(disk)
    (disk / "restoring").mkdir()  # as a crash in the middle leaves it
    with pytest.raises(FolderError, match="was not finished"):
        check_answers(disk)


def test_nobody_else_may_read_a_folder_that_was_made_beforehand(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir(mode=0o755)
    (tmp_path / "data").chmod(0o755)
    with started(tmp_path / "data") as client:
        client.call("POST", "/v1/organizations", {"id": "acme", "name": "Acme", "namespace": "unsiloed"})
        assert send(client, SENT[:1])["ingested"] == 1
        used_now = client.call("GET", "/v1/organizations/acme/usage")
        assert used_now["meters"]["credits"]["used"] == 1
    modes = {
        (each.is_dir(), each.stat().st_mode & 0o077) for each in [tmp_path / "data", *(tmp_path / "data").rglob("*")]
    }
    assert {mode for _, mode in modes} == {0}

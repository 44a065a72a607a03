"""A backup is restored into a folder that is there already, like a mounted volume: all of it, or nothing."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest

from meterhouse.domain.errors import FolderError
from meterhouse.offline import restore
from meterhouse.storage.folder import DataFolder
from support.server import Server, event, serve

pytestmark = pytest.mark.embedded

KILLED = """
import io, os, sys
from pathlib import Path
from meterhouse.offline import restore
renames, at, real = 0, int(sys.argv[3]), Path.rename

def rename(self, target):
    global renames
    if self.parent.name == "restoring":
        renames += 1
        if renames == at:
            os._exit(9)
    return real(self, target)

Path.rename = rename
with open(sys.argv[1], "rb") as backup:
    restore(backup, Path(sys.argv[2]))
"""


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Of a server with an event of the organization `acme`."""
    with serve(tmp_path_factory.mktemp("source") / "data") as server:
        server.admin("POST", "/v1/organizations", {"id": "acme", "name": "Acme", "namespace": "unsiloed"})
        server.send("unsiloed", [event("credit.used", "acme", {"amount": 7})])
        return server.admin("GET", "/v1/backup").content


@pytest.fixture
def disk(tmp_path: Path) -> Path:
    """An empty disk that is mounted as a folder."""
    folder = tmp_path / "disk"
    (folder / "lost+found").mkdir(parents=True)
    return folder


def names(folder: Path) -> set[str]:
    return {each.name for each in folder.iterdir()}


def serves(folder: Path) -> None:
    with serve(folder) as server:
        assert used(server) == 7


def used(server: Server) -> int:
    asked = {"organization": "acme", "meter": "credits", "from": "2020-01-01", "to": "2100-01-01"}
    return int(server.admin("GET", "/v1/query", params=asked).json()["meters"][0]["total"])


def test_a_disk_keeps_its_place_and_what_it_brings(backup: bytes, disk: Path) -> None:
    inode = disk.stat().st_ino
    assert restore(io.BytesIO(backup), disk).events == 1
    assert disk.stat().st_ino == inode
    assert disk.stat().st_mode & 0o777 == 0o700
    assert {"lost+found", "events", "ledger.sqlite", "manifest", "format"} <= names(disk)
    assert "restoring" not in names(disk)
    serves(disk)


@pytest.mark.parametrize("fails", [OSError(28, "no space left on device"), KeyboardInterrupt()])
def test_a_restore_that_fails_in_the_middle_leaves_nothing(
    backup: bytes, disk: Path, monkeypatch: pytest.MonkeyPatch, fails: BaseException
) -> None:
    real, moved = Path.rename, []

    def rename(path: Path, target: Path) -> Path:
        if path.parent.name == "restoring" and not moved.append(path.name) and len(moved) == 3:  # type: ignore[func-returns-value]
            raise fails
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with pytest.raises((FolderError, KeyboardInterrupt)):
        restore(io.BytesIO(backup), disk)
    monkeypatch.undo()
    assert len(moved) >= 3
    assert names(disk) == {"lost+found"}
    restore(io.BytesIO(backup), disk)
    serves(disk)


@pytest.mark.parametrize(
    "at", [pytest.param(1, marks=pytest.mark.thorough), 3, pytest.param(5, marks=pytest.mark.thorough)]
)
def test_what_a_killed_restore_leaves_is_refused_until_it_is_emptied(
    backup: bytes, disk: Path, tmp_path: Path, at: int
) -> None:
    (tmp_path / "backup").write_bytes(backup)
    command = [sys.executable, "-c", KILLED, str(tmp_path / "backup"), str(disk), str(at)]
    assert subprocess.run(command, timeout=60, check=False).returncode == 9
    assert len(names(disk) - {"lost+found", "restoring", "lock"}) <= at - 1
    with pytest.raises(AssertionError, match="has a restore that was not finished: empty it, and restore again"):
        serves(disk)
    with pytest.raises(FolderError, match="is not empty"):
        restore(io.BytesIO(backup), disk)
    assert "restoring" in names(disk)


def test_a_start_that_an_unfinished_restore_refuses_leaves_nothing(backup: bytes, disk: Path) -> None:
    (disk / "restoring").mkdir()
    for _ in range(2):
        with pytest.raises(AssertionError, match="has a restore that was not finished"):
            serves(disk)
        with pytest.raises(FolderError, match="has a restore that was not finished"):
            DataFolder(disk, repairing=True)
    assert names(disk) == {"lost+found", "restoring"}
    (disk / "restoring").rmdir()
    assert restore(io.BytesIO(backup), disk).events == 1
    serves(disk)


def test_a_restore_that_begins_during_a_start_is_seen(disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    acquire = DataFolder._acquire

    def begins_meanwhile(lock_path: Path) -> BinaryIO:
        (disk / "restoring").mkdir()
        return acquire(lock_path)

    monkeypatch.setattr(DataFolder, "_acquire", staticmethod(begins_meanwhile))
    with pytest.raises(FolderError, match="has a restore that was not finished"):
        DataFolder(disk)
    assert names(disk) == {"lost+found", "restoring", "lock"}


def test_a_second_restore_leaves_the_first_alone(backup: bytes, disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (disk / "restoring").mkdir()
    (disk / "restoring" / "manifest").write_text("of the first")
    real: Callable[[Path], object] = Path.iterdir
    looked: list[Path] = []

    def iterdir(path: Path) -> object:
        """Before the first has begun."""
        looked.append(path)
        return iter(()) if looked == [disk] else real(path)

    monkeypatch.setattr(Path, "iterdir", iterdir)
    with pytest.raises(FolderError, match="cannot be restored"):
        restore(io.BytesIO(backup), disk)
    monkeypatch.undo()
    assert (disk / "restoring" / "manifest").read_text() == "of the first"

"""A folder that an earlier version wrote is refused, with what to do, and stays as it was."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from meterhouse.domain.errors import FolderError
from meterhouse.storage.folder import FORMAT, DataFolder


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


def folder_of_format(path: Path, version: int) -> Path:
    path.mkdir(mode=0o700)
    (path / "events").mkdir()
    (path / "events" / "part").write_bytes(b"events")
    (path / "ledger.sqlite").write_bytes(b"organizations")
    (path / "format").write_text(str(version))
    return path


@pytest.mark.parametrize("version", range(1, FORMAT))
def test_an_older_folder_is_refused_and_left_as_it_was(tmp_path: Path, version: int) -> None:
    data = folder_of_format(tmp_path / "data", version)
    before = contents(data)
    for repairing in (False, True):
        with pytest.raises(FolderError, match=f"written in data format {version} by an earlier version"):
            DataFolder(data, repairing=repairing)
    assert contents(data) == before


def test_the_refusal_names_the_commands_that_move_the_events(tmp_path: Path) -> None:
    data = folder_of_format(tmp_path / "data", FORMAT - 1)
    command = [sys.executable, "-m", "meterhouse", "serve", "--data", str(data), "--port", "1"]
    refused = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    told = " ".join(refused.stderr.split())
    assert refused.returncode != 0
    assert "meterhouse export events.ndjson --data" in told
    assert "meterhouse ingest events.ndjson --data NEW-FOLDER" in told
    assert "Traceback" not in refused.stderr


def test_a_newer_folder_is_refused(tmp_path: Path) -> None:
    data = folder_of_format(tmp_path / "data", FORMAT + 1)
    with pytest.raises(FolderError, match="use the version of meterhouse that wrote it, or a newer one"):
        DataFolder(data)

"""A backup of several shards is restored as what it was of, or refused with the name at fault."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import tracemalloc
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from meterhouse.domain.errors import FolderError
from meterhouse.domain.shards import ShardMap
from meterhouse.offline import reshard, restore, verify
from meterhouse.ports.chunks import Chunks
from meterhouse.storage.assembly import assemble_store
from meterhouse.storage.backup import BackupError, back_up, back_up_shards
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.folder import DataFolder
from meterhouse.storage.manifest import read_manifest
from meterhouse.storage.reserved_space import ReservedSpace
from support.books import NOW
from support.shards import SETTINGS, count_of, filled, ledger_of, opened, opened_shard, rows_of
from support.tars import members, packed

pytestmark = pytest.mark.thorough  # servers of several processes are started again and again

COUNT = 3


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data") / "data"
    filled(folder, NOW)
    reshard(folder, SETTINGS, COUNT)
    return folder


def streams_of(data: Path) -> Iterator[Chunks]:
    """The backups of all shards; this process has one engine, so that each is taken when the one before is read."""
    for shard in range(count_of(data)):
        with closing(DataFolder(data / "shards" / str(shard))) as folder:
            engine = ChdbEngine(folder.events)
            with closing(assemble_store(engine, folder, ReservedSpace(folder.journal / "spare"), {})) as store:
                yield back_up(store, None, "1.2.3")


@pytest.fixture(scope="module")
def backup(data: Path) -> bytes:
    with closing(ledger_of(data)) as ledger:
        return b"".join(back_up_shards(streams_of(data), ledger, "1.2.3"))


def sealed(files: dict[str, bytes], within: str = "", **changes: Any) -> dict[str, bytes]:
    """The same with a manifest that agrees with the files, but for what is changed."""
    own = {name.removeprefix(within): content for name, content in files.items() if name.startswith(within)}
    listed = {
        name: {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        for name, content in own.items()
        if name not in ("manifest.json", "manifest.sha256")
    }
    manifest = json.dumps({**json.loads(own["manifest.json"]), "files": listed, **changes}).encode()
    seal = hashlib.sha256(manifest).hexdigest().encode()
    return {**files, f"{within}manifest.json": manifest, f"{within}manifest.sha256": seal}


def refusal(backup: bytes, folder: Path) -> str:
    """What is said of a backup; nothing is left of the attempt."""
    before = sorted(folder.iterdir())
    with pytest.raises(BackupError) as refused:
        restore(io.BytesIO(backup), folder / "refused")
    assert sorted(folder.iterdir()) == before
    return str(refused.value)


@pytest.mark.parametrize("exists", [False, True], ids=["new", "mounted"])
def test_what_is_restored_is_what_there_was(data: Path, backup: bytes, tmp_path: Path, *, exists: bool) -> None:
    restored = tmp_path / "restored"
    if exists:
        (restored / "lost+found").mkdir(parents=True)
    done = restore(io.BytesIO(backup), restored)
    assert (done.events, done.has_ledger) == (500, True)
    assert count_of(restored) == COUNT
    assert rows_of(restored) == rows_of(data)
    assert verify(restored, SETTINGS) == []
    for shard in range(COUNT):
        with opened_shard(restored, shard, NOW) as client:
            assert client.call("GET", "/v1/rollups")["latest_commit"] == 20
    reshard(restored, SETTINGS, 1)
    with opened(restored, NOW) as client:
        assert len(client.call("GET", "/v1/organizations")) == 8


def test_a_backup_file_is_verified_as_a_whole(backup: bytes, tmp_path: Path) -> None:
    file = tmp_path / "backup.tar"
    file.write_bytes(backup)
    assert verify(file, SETTINGS) == []


def test_a_backup_that_is_cut_short_is_refused(backup: bytes, tmp_path: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(backup)) as archive:
        found = [(each.name, each.offset, each.offset_data) for each in archive]
    names = [name for name, _, _ in found]
    assert names[-3:] == ["ledger.sqlite", "manifest.json", "manifest.sha256"]
    for shard in range(COUNT):
        assert {f"shards/{shard}/manifest.json", f"shards/{shard}/manifest.sha256"} < {*names}
    for name, offset, content in found[:: len(found) // 12] + found[-3:]:
        assert "cut short" in refusal(backup[:offset], tmp_path)
        assert name in refusal(backup[: content + 3], tmp_path)


def test_a_backup_that_is_altered_is_refused_with_the_file_at_fault(backup: bytes, tmp_path: Path) -> None:
    files = members(backup)
    part = next(name for name in files if name.startswith("shards/2/events/") and name.endswith("data.bin"))
    for name in (part, "ledger.sqlite", "manifest.json", "shards/1/manifest.json"):
        content = bytearray(files[name])
        content[len(content) // 2] ^= 1
        assert f"{name} is not as it was written" in refusal(packed({**files, name: bytes(content)}), tmp_path)
    for name in (part, "shards/1/manifest.sha256", "ledger.sqlite"):
        lacking = {each: content for each, content in files.items() if each != name}
        assert f"the backup lacks {name}" in refusal(packed(lacking), tmp_path)
    for name in ("shards/0/../x", "shards/100/events/a", "shards/0/ledger.sqlite", "shards/x/manifest.json"):
        assert f"'{name}' is no file of a backup" in refusal(packed({name: b"", **files}), tmp_path)


def test_a_shard_that_is_missing_or_does_not_agree_is_named(backup: bytes, tmp_path: Path) -> None:
    files = members(backup)
    without = {name: content for name, content in files.items() if not name.startswith("shards/1/")}
    assert "the backup lacks shards/1/" in refusal(packed(without), tmp_path)
    assert "the backup lacks shards/1/manifest.json" in refusal(packed(sealed(without)), tmp_path)
    part = next(name for name in files if name.startswith("shards/2/events/") and name.endswith("data.bin"))
    swapped = {**files, part: files[part][:-1] + b"x"}
    assert f"{part} is not as it was written" in refusal(packed(sealed(swapped)), tmp_path)
    fewer = sealed(files, "shards/0/", events=1)
    assert "tells of 1 up to commit" in refusal(packed(sealed(fewer)), tmp_path)
    other = sealed(files, shards=ShardMap.even(2).shards)
    assert "ledger.sqlite tells of other shards than its manifest.json" in refusal(packed(other), tmp_path)


def test_streams_that_are_not_whole_make_no_backup(data: Path) -> None:
    whole = [b"".join(stream) for stream in streams_of(data)]

    def refused(*streams: bytes) -> str:
        with closing(ledger_of(data)) as ledger, pytest.raises(BackupError) as wrong:
            b"".join(back_up_shards([(chunk for chunk in [each]) for each in streams], ledger, "1"))
        return str(wrong.value)

    first, second, third = whole
    seal = second.index(b"manifest.sha256")
    for cut in (seal + 512, seal, second.index(b"manifest.json"), 0):
        assert "the backup of shard 1 is cut short" in refused(first, second[:cut], third)
    assert "cut short or altered in shards/1/events/" in refused(first, second[:700], third)
    assert refused(first, second) == "there are backups of 2 shards, and the ledger tells of 3"


def test_a_backup_is_put_together_with_little_memory(data: Path) -> None:
    size = 80 * 512_000

    def large(shard: int) -> Chunks:
        if shard:
            yield packed({"manifest.json": b"{}", "manifest.sha256": b""})
            return
        member = tarfile.TarInfo("events/a")
        member.size = size
        yield member.tobuf(tarfile.GNU_FORMAT)
        yield from (bytes(512 * 1_000) for _ in range(80))
        yield packed({"manifest.json": b"{}", "manifest.sha256": b""})

    with closing(ledger_of(data)) as ledger:
        streams = [large(shard) for shard in range(COUNT)]
        tracemalloc.start()
        try:
            written = sum(map(len, back_up_shards(streams, ledger, "1")))
            assert tracemalloc.get_traced_memory()[1] < 10_000_000
        finally:
            tracemalloc.stop()
    assert written > size


def test_without_a_ledger_the_one_of_before_is_needed(data: Path, backup: bytes, tmp_path: Path) -> None:
    files = {name: content for name, content in members(backup).items() if name != "ledger.sqlite"}
    done = restore(io.BytesIO(packed(sealed(files))), tmp_path / "restored")
    assert (done.events, done.has_ledger) == (500, False)
    with pytest.raises(FolderError, match=r"ledger\.sqlite is gone"), opened(tmp_path / "restored", NOW):
        pass
    shutil.copy(data / "ledger.sqlite", tmp_path / "restored")
    assert verify(tmp_path / "restored", SETTINGS) == []
    assert read_manifest(tmp_path / "restored" / "shards" / "1" / "manifest").state.turn is None

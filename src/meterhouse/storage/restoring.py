"""Restoring a backup: a data folder with what it has, after everything in it is checked."""

from __future__ import annotations

import re
import tarfile
import tempfile
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from shutil import rmtree
from typing import IO, BinaryIO

import msgspec

from ..domain.errors import FolderError
from ..domain.shards import ShardMap
from .assembly import assemble_store
from .backup import MANIFEST, SEAL, BackupError, BackupManifest, ShardsManifest, Version, in_shard
from .clickhouse.engine import schema_queries
from .clickhouse.engine.chdb_engine import ChdbEngine
from .clickhouse.engine.engine import EngineError
from .durable import sync_folder, sync_tree
from .folder import FORMAT, LEDGER, RESTORING, DataFolder, keep_private
from .ledger.sql_ledger import SqlLedger
from .reserved_space import ReservedSpace
from .tar_stream import CHUNK_BYTES, Entry

_OF_A_SHARD = rf"events(/[\w%][\w%.\-]*)+|{re.escape(MANIFEST)}|{re.escape(SEAL)}"
_NAME = re.compile(rf"(shards/\d{{1,2}}/)?({_OF_A_SHARD})|{re.escape(LEDGER)}", re.ASCII)
_OF_THE_DISK = {"lost+found"}
"""What an empty disk has, mounted as a folder."""


@dataclass(frozen=True, slots=True)
class Restored:
    """What a restored folder has."""

    events: int
    has_ledger: bool
    """False when it was on PostgreSQL, which a backup leaves to backups of its own."""


def restore(source: BinaryIO, data: Path) -> Restored:
    """Makes a data folder from a backup: beside its place, and under its name when everything in it is checked.

    Raises `BackupError` when the backup is not whole, `FolderError` when the folder cannot be had. Nothing has changed
    then.
    """
    data = data.absolute()
    exists = data.exists()
    if exists and (not data.is_dir() or any(each.name not in _OF_THE_DISK for each in data.iterdir())):
        raise FolderError(f"{data} is not empty, and a backup is restored into a new folder: name another with --data")
    try:
        data.parent.mkdir(parents=True, exist_ok=True)
        if exists:  # within it: it may be another disk's, which has no place beside it
            building = data / RESTORING
            building.mkdir(mode=0o700)  # fails where another restore has begun meanwhile
        else:
            building = Path(tempfile.mkdtemp(prefix=f"{data.name}.restoring-", dir=data.parent))
        try:
            restored = _build(source, building)
            sync_tree(building)  # first what the folder has, then its names
            if exists:
                keep_private(data)
                _move_up(building)
            else:
                building.rename(data)
                sync_folder(data.parent)
        finally:
            rmtree(building, ignore_errors=True)
    except OSError as wrong:
        raise FolderError(f"the backup cannot be restored into {data}: {wrong}") from wrong
    return restored


def _move_up(building: Path) -> None:
    """Moves what a folder has into the one that it is in, all or nothing: a start refuses that one as long as this one
    is in it."""
    names = [each.name for each in building.iterdir()]
    try:
        for name in names:
            (building / name).rename(building.parent / name)
        sync_folder(building.parent)
        building.rmdir()
    except BaseException:
        for name in names:
            if not (building / name).exists():
                (building.parent / name).rename(building / name)
        raise
    sync_folder(building.parent)


def _build(source: BinaryIO, building: Path) -> Restored:
    with closing(DataFolder(building)) as folder:
        unpacked = building / "unpacked"
        manifest, entries = _unpack(source, unpacked)
        if isinstance(manifest, BackupManifest):
            _build_store(unpacked, manifest, folder)
            events = manifest.events
        else:
            events = _build_shards(unpacked, manifest, entries, folder)
        if LEDGER in entries:
            (unpacked / LEDGER).rename(building / LEDGER)
            with closing(SqlLedger.open(folder.ledger_url)) as ledger:
                if ledger.shard_map().shards != (manifest.shards or ShardMap.even(1).shards):
                    raise BackupError(f"the backup's {LEDGER} tells of other shards than its {MANIFEST}")
        rmtree(unpacked)
    return Restored(events, LEDGER in entries)


def _build_shards(unpacked: Path, whole: ShardsManifest, entries: Mapping[str, Entry], folder: DataFolder) -> int:
    """Makes the folder of every shard; answers how many events they have."""
    count, events = ShardMap(whole.shards).count, 0
    for shard in range(count):
        manifest = _read_sealed(unpacked, entries, in_shard(shard, ""))
        if not isinstance(manifest, BackupManifest):
            raise BackupError(f"{in_shard(shard, MANIFEST)} is not of one shard")
        with closing(DataFolder(folder.shard(shard, count))) as place:
            _build_store(unpacked / in_shard(shard, ""), manifest, place)
        events += manifest.events
    return events


def _build_store(unpacked: Path, manifest: BackupManifest, folder: DataFolder) -> None:
    """Puts the parts of a backup in a folder's table of events, and holds them to the manifest of the backup."""
    (unpacked / "events").mkdir(exist_ok=True)
    try:
        engine = ChdbEngine(folder.events)
        engine.execute(schema_queries.CREATE_EVENTS)
        engine.attach("events", unpacked / "events")
        with closing(assemble_store(engine, folder, ReservedSpace(folder.journal / "spare"), {})) as store:
            store.check()
            events, commit = store.count(), store.latest_commit()
    except EngineError as failure:
        raise BackupError(f"the events of the backup cannot be read: {failure}") from failure
    if events != manifest.events or commit > manifest.commit:
        raise BackupError(
            f"the backup has {events} events up to commit {commit}, "
            f"and its {MANIFEST} tells of {manifest.events} up to commit {manifest.commit}"
        )
    folder.manifest.update(commit=manifest.commit, events=events, turn=None, losses=manifest.losses)


def _unpack(source: BinaryIO, folder: Path) -> tuple[BackupManifest | ShardsManifest, dict[str, Entry]]:
    """Writes the files of a backup into a new folder, and holds them to its manifest."""
    folder.mkdir()
    entries: dict[str, Entry] = {}
    name = "its beginning"
    try:
        with tarfile.open(fileobj=source, mode="r|", bufsize=CHUNK_BYTES) as archive:
            for member in archive:
                name = member.name
                if not member.isfile() or not _NAME.fullmatch(name) or name in entries:
                    raise BackupError(f"{name[:200]!r} is no file of a backup: this is none, or it is altered")
                content = archive.extractfile(member)
                assert content is not None  # of a file there is
                entries[name] = _write(content, folder / name)
    except tarfile.TarError as wrong:
        raise BackupError(f"this is no backup, or it is cut short or altered in {name}: {wrong}") from None
    for needed in (MANIFEST, SEAL):
        if needed not in entries:
            raise BackupError(f"the backup is cut short: it ends after {name}, and has no {needed}")
    return _read_sealed(folder, entries), entries


def _write(content: IO[bytes], path: Path) -> Entry:
    path.parent.mkdir(parents=True, exist_ok=True)
    size, digest = 0, sha256()
    with path.open("xb") as file:
        while chunk := content.read(CHUNK_BYTES):
            size += file.write(chunk)
            digest.update(chunk)
    return Entry(size, digest.hexdigest())


def _read_sealed(folder: Path, entries: Mapping[str, Entry], within: str = "") -> BackupManifest | ShardsManifest:
    """The manifest of a backup, or of a shard within one; every file is as it tells."""
    of_it = {name.removeprefix(within): entry for name, entry in entries.items() if name.startswith(within)}
    for needed in (MANIFEST, SEAL):
        if needed not in of_it:
            raise BackupError(f"the backup lacks {within}{needed}")
    if of_it.pop(MANIFEST).sha256 != (folder / within / SEAL).read_text("ascii", "replace").strip():
        raise BackupError(f"the backup is altered: {within}{MANIFEST} is not as it was written")
    del of_it[SEAL]
    manifest = _read_manifest(folder / within / MANIFEST)
    for name in sorted({*manifest.files, *of_it}):
        if name not in of_it:
            raise BackupError(f"the backup lacks {within}{name}")
        if manifest.files.get(name) != of_it[name]:
            raise BackupError(f"the backup is altered: {within}{name} is not as it was written")
    return manifest


def _read_manifest(path: Path) -> BackupManifest | ShardsManifest:
    content = path.read_bytes()
    version = msgspec.json.decode(content, type=Version)  # of all versions; what else there is, only that one knows
    if version.format > FORMAT:
        raise BackupError(
            f"the backup was taken by meterhouse {version.meterhouse} in data format {version.format}, this version "
            f"reads {FORMAT}: upgrade meterhouse"
        )
    if version.shards:
        return msgspec.json.decode(content, type=ShardsManifest)
    return msgspec.json.decode(content, type=BackupManifest)

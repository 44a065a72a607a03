"""Backups: the events up to one commit and the ledger, in a tar stream that tells whether it is whole.

Events first, then the ledger: whoever sent an event of the backup with a key is in its ledger. What happened between
the two is an organization, a key or a plan that nothing of the backup has used yet, or one that is gone, and stays
gone. What is derived is left out and makes itself again.
"""

from __future__ import annotations

import hashlib
import re
import tarfile
import tempfile
from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from shutil import rmtree
from typing import IO, BinaryIO

import msgspec

from ..domain.errors import FolderError, Invalid
from ..domain.loss import Loss
from ..ports.chunks import Chunks
from .assembly import assemble_store
from .clickhouse.engine import schema_queries
from .clickhouse.engine.chdb_engine import ChdbEngine
from .clickhouse.engine.engine import EngineError
from .clickhouse.store import ClickHouseEventStore
from .durable import sync_folder, sync_tree
from .folder import FORMAT, LEDGER, RESTORING, DataFolder, keep_private
from .ledger.sql_ledger import SqlLedger
from .reserved_space import ReservedSpace

_MANIFEST = "manifest.json"
_SEAL = "manifest.sha256"
"""The last file: the checksum of the one that has all the others'."""
_NAME = re.compile(rf"events(/[\w%][\w%.\-]*)+|{re.escape(LEDGER)}|{re.escape(_MANIFEST)}|{re.escape(_SEAL)}", re.ASCII)
_CHUNK_BYTES = 1 << 20
_OF_THE_DISK = {"lost+found"}
"""What an empty disk has, mounted as a folder."""


class BackupError(Invalid):
    """A backup that cannot be restored; the message names the file at fault."""

    code = "backup"


class Entry(msgspec.Struct, frozen=True):
    """A file of a backup."""

    size: int
    sha256: str


class _Version(msgspec.Struct, frozen=True, kw_only=True):
    format: int
    """Of the data folder; see `folder.FORMAT`."""
    meterhouse: str
    """The version that took it."""


class BackupManifest(_Version, frozen=True, kw_only=True):
    """What a backup has."""

    commit: int
    """The newest of the commits, which are all there."""
    events: int
    losses: list[Loss] = []
    """Of the folder, as its operator has accepted them."""
    files: dict[str, Entry]

    @property
    def has_ledger(self) -> bool:
        """False when it was on PostgreSQL."""
        return LEDGER in self.files


def back_up(store: ClickHouseEventStore, ledger: SqlLedger, version: str) -> Chunks:
    """A backup of this moment, taken while others read and write; none of what is damaged or not whole. Raises
    `OSError` and `EngineError`."""
    store.check()
    with store.frozen() as frozen:
        sources = {
            f"events/{path.relative_to(frozen.parts).as_posix()}": path
            for path in sorted(frozen.parts.rglob("*"))
            if path.is_file()
        }
        copy = frozen.parts / LEDGER  # goes when they go
        if ledger.copy_into(copy):
            sources[LEDGER] = copy
        entries = {}
        for name, path in sources.items():
            entries[name] = yield from _packed(name, path)
        manifest = BackupManifest(
            format=FORMAT,
            meterhouse=version,
            commit=frozen.commit,
            events=frozen.events,
            losses=frozen.losses,
            files=entries,
        )
        content = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
        seal = hashlib.sha256(content).hexdigest().encode() + b"\n"
        for name, text in ((_MANIFEST, content), (_SEAL, seal)):
            yield _header(name, len(text)) + text + _padding(len(text))
        yield bytes(2 * tarfile.BLOCKSIZE)


def restore(source: BinaryIO, data: Path) -> BackupManifest:
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
        # In a folder that is there already: it may be another disk's, which has no room beside it.
        building = (
            data / RESTORING if exists else Path(tempfile.mkdtemp(prefix=f"{data.name}.restoring-", dir=data.parent))
        )
        try:
            manifest = _build(source, building)
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
    return manifest


def _move_up(building: Path) -> None:
    """Moves what a folder has into the one that it is in: a start refuses that one as long as this one is in it."""
    for each in building.iterdir():
        each.rename(building.parent / each.name)
    sync_folder(building.parent)
    building.rmdir()
    sync_folder(building.parent)


def _build(source: BinaryIO, building: Path) -> BackupManifest:
    with closing(DataFolder(building)) as folder:
        unpacked = building / "unpacked"
        manifest = _unpack(source, unpacked)
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
                f"and its {_MANIFEST} tells of {manifest.events} up to commit {manifest.commit}"
            )
        folder.manifest.update(commit=manifest.commit, events=events, turn=None, losses=manifest.losses)
        if manifest.has_ledger:
            (unpacked / LEDGER).rename(building / LEDGER)
            SqlLedger.open(folder.ledger_url).close()
        rmtree(unpacked)
    return manifest


def _packed(name: str, path: Path) -> Generator[bytes, None, Entry]:
    """A file as tar has it."""
    size, digest = path.stat().st_size, hashlib.sha256()
    yield _header(name, size)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            digest.update(chunk)
            yield chunk
    yield _padding(size)
    return Entry(size, digest.hexdigest())


def _header(name: str, size: int) -> bytes:
    member = tarfile.TarInfo(name)
    member.size, member.mode = size, 0o600
    return member.tobuf(tarfile.GNU_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % tarfile.BLOCKSIZE)


def _unpack(source: BinaryIO, folder: Path) -> BackupManifest:
    """Writes the files of a backup into a new folder, and holds them to its manifest."""
    (folder / "events").mkdir(parents=True)
    entries: dict[str, Entry] = {}
    name = "its beginning"
    try:
        with tarfile.open(fileobj=source, mode="r|", bufsize=_CHUNK_BYTES) as archive:
            for member in archive:
                name = member.name
                if not member.isfile() or not _NAME.fullmatch(name) or name in entries:
                    raise BackupError(f"{name[:200]!r} is no file of a backup: this is none, or it is altered")
                content = archive.extractfile(member)
                assert content is not None  # of a file there is
                entries[name] = _write(content, folder / name)
    except tarfile.TarError as wrong:
        raise BackupError(f"this is no backup, or it is cut short or altered in {name}: {wrong}") from None
    for needed in (_MANIFEST, _SEAL):
        if needed not in entries:
            raise BackupError(f"the backup is cut short: it ends after {name}, and has no {needed}")
    if entries[_MANIFEST].sha256 != (folder / _SEAL).read_text("ascii", "replace").strip():
        raise BackupError(f"the backup is altered: {_MANIFEST} is not as it was written")
    return _check(_read_manifest(folder / _MANIFEST), entries)


def _write(content: IO[bytes], path: Path) -> Entry:
    path.parent.mkdir(parents=True, exist_ok=True)
    size, digest = 0, hashlib.sha256()
    with path.open("xb") as file:
        while chunk := content.read(_CHUNK_BYTES):
            size += file.write(chunk)
            digest.update(chunk)
    return Entry(size, digest.hexdigest())


def _read_manifest(path: Path) -> BackupManifest:
    content = path.read_bytes()
    version = msgspec.json.decode(content, type=_Version)  # of all versions; what else there is, only that one knows
    if version.format > FORMAT:
        raise BackupError(
            f"the backup was taken by meterhouse {version.meterhouse} in data format {version.format}, this version "
            f"reads {FORMAT}: upgrade meterhouse"
        )
    return msgspec.json.decode(content, type=BackupManifest)


def _check(manifest: BackupManifest, entries: dict[str, Entry]) -> BackupManifest:
    for name in sorted({*manifest.files, *entries} - {_MANIFEST, _SEAL}):
        if name not in entries:
            raise BackupError(f"the backup lacks {name}")
        if manifest.files.get(name) != entries[name]:
            raise BackupError(f"the backup is altered: {name} is not as it was written")
    return manifest

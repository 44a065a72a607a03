"""Backups: the events up to one commit and the ledger, in a tar stream that tells whether it is whole.

Events first, then the ledger: whoever sent an event of the backup with a key is in its ledger. What happened between
the two is an organization, a key or a plan that nothing of the backup has used yet, or one that is gone, and stays
gone. What is derived is left out and makes itself again.

The backup of several shards has that of each, without a ledger, in a folder of its own; then the ledger.
"""

from __future__ import annotations

import hashlib
import tarfile
import tempfile
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, cast

import msgspec

from ..domain.errors import Invalid
from ..domain.loss import Loss
from ..ports.chunks import Chunks
from .clickhouse.store import ClickHouseEventStore
from .folder import FORMAT, LEDGER
from .ledger.sql_ledger import SqlLedger
from .tar_stream import CHUNK_BYTES, Entry, Pieces, end, packed, packed_content, packed_text

MANIFEST = "manifest.json"
SEAL = "manifest.sha256"
"""The last file: the checksum of the one that has all the others'."""


class BackupError(Invalid):
    """A backup that is not whole; the message names the file at fault."""

    code = "backup"


class Version(msgspec.Struct, frozen=True, kw_only=True):
    """What every version tells of a backup."""

    format: int
    """Of the data folder; see `folder.FORMAT`."""
    meterhouse: str
    """The version that took it."""
    shards: tuple[int, ...] = ()
    """The shards by virtual shard, see `ShardMap`; none in a backup of one shard."""


class BackupManifest(Version, frozen=True, kw_only=True):
    """What the backup of one shard has."""

    commit: int
    """The newest of the commits, which are all there."""
    events: int
    losses: list[Loss] = []
    """Of the folder, as its operator has accepted them."""
    files: dict[str, Entry]


class ShardsManifest(Version, frozen=True, kw_only=True):
    """What the backup of several shards has; each has a manifest of its own, too."""

    files: dict[str, Entry]


def in_shard(shard: int, name: str) -> str:
    """The name of a shard's file in the backup of all."""
    return f"shards/{shard}/{name}"


def back_up(store: ClickHouseEventStore, ledger: SqlLedger | None, version: str) -> Chunks:
    """A backup of this moment, taken while others read and write; none of what is damaged or not whole. Without a
    ledger it is one shard's part of a larger one. Raises `OSError` and `EngineError`."""
    store.check()
    with store.frozen() as frozen:
        sources = {
            f"events/{path.relative_to(frozen.parts).as_posix()}": path
            for path in sorted(frozen.parts.rglob("*"))
            if path.is_file()
        }
        copy = frozen.parts / LEDGER  # goes when they go
        if ledger is not None and ledger.copy_into(copy):
            sources[LEDGER] = copy
        entries = {}
        for name, path in sources.items():
            entries[name] = yield from packed(name, path)
        yield from _sealed(
            BackupManifest(
                format=FORMAT,
                meterhouse=version,
                commit=frozen.commit,
                events=frozen.events,
                losses=frozen.losses,
                files=entries,
            )
        )


def back_up_shards(streams: Iterable[Chunks], ledger: SqlLedger, version: str) -> Chunks:
    """A backup of all shards from those of each, in their order, which `back_up` has made without a ledger. They are
    read one after the other, each to its end before the next is asked for. Raises `BackupError` when one of them is not
    whole, and `OSError`."""
    shards = ledger.shard_map()
    entries: dict[str, Entry] = {}
    count = 0
    for stream in streams:
        with closing(stream):
            entries |= yield from _repacked(count, stream)
        count += 1
    if count != shards.count:
        raise BackupError(f"there are backups of {count} shards, and the ledger tells of {shards.count}")
    with tempfile.TemporaryDirectory(prefix="meterhouse-backup-") as folder:
        copy = Path(folder) / LEDGER
        if ledger.copy_into(copy):
            entries[LEDGER] = yield from packed(LEDGER, copy)
    yield from _sealed(ShardsManifest(format=FORMAT, meterhouse=version, shards=shards.shards, files=entries))


def _repacked(shard: int, stream: Iterator[bytes]) -> Generator[bytes, None, dict[str, Entry]]:
    """The files of a shard's backup under the names that they have in the backup of all."""
    entries: dict[str, Entry] = {}
    name = ""
    try:
        with tarfile.open(fileobj=cast("IO[bytes]", Pieces(stream)), mode="r|", bufsize=CHUNK_BYTES) as archive:
            for member in archive:
                name, content = in_shard(shard, member.name), archive.extractfile(member)
                if content is None:
                    raise BackupError(f"{name} is no file of a backup")
                entries[name] = yield from packed_content(name, member.size, content)
    except tarfile.TarError as wrong:
        raise BackupError(
            f"the backup of shard {shard} is cut short or altered in {name or 'its head'}: {wrong}"
        ) from None
    if name != in_shard(shard, SEAL):
        raise BackupError(f"the backup of shard {shard} is cut short: it ends after {name or 'nothing'}")
    return entries


def _sealed(manifest: BackupManifest | ShardsManifest) -> Iterator[bytes]:
    """The end of a backup."""
    content = msgspec.json.format(msgspec.json.encode(manifest)) + b"\n"
    yield packed_text(MANIFEST, content)
    yield packed_text(SEAL, hashlib.sha256(content).hexdigest().encode() + b"\n")
    yield end()

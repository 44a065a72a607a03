"""The folders of several shards in one data folder."""

from __future__ import annotations

from ..domain.errors import FolderError
from ..domain.shards import ShardMap
from .durable import sync_folder
from .folder import DataFolder, shard_folder
from .ledger.sql_ledger import SqlLedger


def prepare_shards(folder: DataFolder, ledger: SqlLedger, wanted: int | None) -> int:
    """Makes the shards of a new folder, and answers how many there are. Raises `FolderError` where a folder that is
    used has another number than the one wanted, or lacks a shard."""
    found = ledger.shard_map().count
    if found == 1:
        if wanted is None or folder.manifest.state.turn or folder.events.exists():
            raise FolderError(
                f"{folder.path} has 1 shard: stop its server, and divide it with `meterhouse reshard {wanted or 2} "
                f"--data {folder.path}`"
            )
        ledger.set_shard_map(ShardMap.even(wanted))
        found = wanted
    if wanted not in (None, found):
        raise FolderError(
            f"{folder.path} has {found} shards: serve it without --shards, or stop its server, and divide it anew with "
            f"`meterhouse reshard {wanted} --data {folder.path}`"
        )
    folder.shards.mkdir(exist_ok=True, mode=0o700)
    folders = [shard_folder(folder.path, shard) for shard in range(found)]
    used = any((path / "manifest").exists() for path in folders)
    for shard, path in enumerate(folders):
        if not path.exists() and (used or ledger.turn(shard) is not None):
            raise FolderError(f"{path} is gone, with all events of shard {shard}: restore a backup")
        path.mkdir(exist_ok=True, mode=0o700)
    sync_folder(folder.shards)
    sync_folder(folder.path)
    return found

"""Putting new shards in the place of old ones.

It begins when the new ones are whole and on the disk, which a marker tells. Every step looks at what is there, and may
be repeated: whatever ends a process in the middle, the next one goes on.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from ..domain.shards import ShardMap
from .durable import sync_folder
from .folder import RESHARDED, RESHARDING, DataFolder
from .ledger.sql_ledger import SqlLedger
from .reshard_marker import read_switch


def finish(root: DataFolder, ledger: SqlLedger) -> int | None:
    """Finishes what has begun, and answers how many shards there are then; None when nothing has. Raises `OSError` and
    what the ledger raises."""
    building = root.path / RESHARDING
    if (switch := read_switch(building / RESHARDED)) is None:
        return None
    after = ShardMap(switch.shards)
    replaced = building / "replaced"
    replaced.mkdir(exist_ok=True)
    if switch.before == 1:
        for old in (root.events, root.journal, root.identities):
            _move(old, replaced / old.name)
    elif (building / "0").exists() and not (replaced / root.shards.name).exists():  # or these are the new ones
        _move(root.shards, replaced / root.shards.name)
    for folder in (replaced, building, root.path):
        sync_folder(folder)
    if after.count == 1:
        for place in (root.events, root.journal, root.identities, root.path / "manifest"):
            _move(building / "0" / place.name, place)
    else:
        root.shards.mkdir(exist_ok=True)
        for number in range(after.count):
            _move(building / str(number), root.shard(number, after.count))
        sync_folder(root.shards)
        _move(building / "manifest", root.path / "manifest")
    for folder in (building, root.path):
        sync_folder(folder)
    ledger.set_shard_map(after)
    discard(building)
    return after.count


def discard(building: Path) -> None:
    """Removes the folder of a reshard, the marker last. Raises `OSError`."""
    if not building.exists():
        return
    for each in building.iterdir():
        if each.name != RESHARDED:
            shutil.rmtree(each) if each.is_dir() else each.unlink()
    (building / RESHARDED).unlink(missing_ok=True)
    building.rmdir()
    sync_folder(building.parent)


def _move(source: Path, target: Path) -> None:
    if source.exists():
        source.rename(target)

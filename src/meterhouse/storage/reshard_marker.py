"""The marker of a reshard that has to be finished: from it on, the folder is what the new shards say."""

from __future__ import annotations

from pathlib import Path

import msgspec

from ..domain.errors import FolderError
from .durable import write_file


class Switch(msgspec.Struct, frozen=True):
    """From which number of shards, and to which map."""

    before: int
    shards: tuple[int, ...]
    """By virtual shard; see `ShardMap`."""


def write_switch(path: Path, switch: Switch) -> None:
    """Writes the marker; on the disk when it returns. Raises `OSError`."""
    write_file(path, msgspec.json.encode(switch))


def read_switch(path: Path) -> Switch | None:
    """What the marker says; None when there is none. Raises `FolderError` for one that is damaged, and `OSError`."""
    if not path.exists():
        return None
    try:
        return msgspec.json.decode(path.read_bytes(), type=Switch)
    except msgspec.MsgspecError:
        raise FolderError(f"{path} is damaged: restore a backup") from None

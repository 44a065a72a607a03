"""Making files and their names last, through a loss of power too."""

from __future__ import annotations

import os
from pathlib import Path

sync_file = getattr(os, "fdatasync", os.fsync)  # macOS lacks the former
"""Makes the content of an open file last. Raises `OSError`."""


def sync_folder(folder: Path) -> None:
    """Makes what was created, renamed or removed in a folder last. Raises `OSError`."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_tree(folder: Path) -> None:
    """Makes everything in a folder last, and its own name. Raises `OSError`."""
    for path, _, names in os.walk(folder, topdown=False):
        for name in names:
            handle = os.open(Path(path, name), os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)
        sync_folder(Path(path))
    sync_folder(folder.parent)


def write_file(path: Path, content: bytes) -> None:
    """Writes a file that is there whole under its name, or not at all. Raises `OSError`."""
    unfinished = path.with_suffix(".new")
    with unfinished.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)
    sync_folder(path.parent)

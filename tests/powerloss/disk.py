"""A disk whose power can be cut: a file system in a file, of which only what was synced is left."""

from __future__ import annotations

import fcntl
import os
import shutil
import struct
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.server import CANNOT, Server

_SHUT_DOWN = 0x8004587D
"""EXT4_IOC_SHUTDOWN: the file system takes nothing more, writes nothing more, and"""
_WITHOUT_ITS_JOURNAL = struct.pack("I", 2)
"""forgets what its own journal has not on the disk: as when the power goes."""


class Disk:
    """An ext4 file system, mounted with the options that are its default."""

    def __init__(self, folder: Path):
        self._image = folder / "image"
        self.mounted = folder / "disk"
        self.mounted.mkdir()
        with self._image.open("wb") as file:
            file.truncate(1 << 30)
        _run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0", str(self._image))
        self.mount()

    def mount(self) -> None:
        _run("mount", "-o", "loop", str(self._image), str(self.mounted))

    def unmount(self) -> None:
        _run("umount", str(self.mounted))

    def lose_power(self, server: Server) -> None:
        """While a server is running on it, which answers nobody any more."""
        server.process.send_signal(19)  # SIGSTOP
        handle = os.open(self.mounted, os.O_RDONLY)
        try:
            fcntl.ioctl(handle, _SHUT_DOWN, _WITHOUT_ITS_JOURNAL)
        finally:
            os.close(handle)
        server.kill()
        self.unmount()
        self.mount()


@contextmanager
def disk(folder: Path) -> Iterator[Disk]:
    """A new disk; skips the test where none can be had."""
    if os.geteuid() != 0:
        pytest.skip(f"{CANNOT}only root may mount")
    for tool in ("mkfs.ext4", "mount"):
        if shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    try:
        made = Disk(folder)
    except OSError as failure:
        pytest.skip(f"{CANNOT}{failure}")
    try:
        yield made
    finally:
        made.unmount()


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"{command[0]}: {done.stderr.strip()}")

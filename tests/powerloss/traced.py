"""A server whose writes and syncs are recorded, and its files as a loss of power would leave them."""

from __future__ import annotations

import os
import re
import signal
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from support.server import Server

_CALLS = "write,pwrite64,writev,pwritev,ftruncate,fsync,fdatasync,rename,renameat,renameat2,link,linkat"
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\((.*)\) += (\d+)")
_UNFINISHED = re.compile(r"^(\d+) +(\w+\(.*) <unfinished \.\.\.>$")
_RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_OPEN_FILE = re.compile(r"^\d+<([^>]*)>")
_LAST_NUMBER = re.compile(r", (\d+)$")
_PATH = re.compile(r'(?:(?:AT_FDCWD(?:<[^>]*>)?|\d+<([^>]*)>), )?"([^"]*)"')


def tracing(log: Path) -> tuple[str, ...]:
    """What a server's command is put behind; several may write to one log."""
    options = ("-f", "-y", "-s", "0", "--seccomp-bpf", "-e", f"trace={_CALLS}", "-e", "signal=none")
    return ("strace", *options, "-A", "-o", str(log))


def kill(server: Server) -> None:
    """Kills the server itself; what records it ends then, and its log is whole."""
    tracer = server.process.pid
    for child in Path(f"/proc/{tracer}/task/{tracer}/children").read_text().split():
        os.kill(int(child), signal.SIGKILL)
    server.process.wait(timeout=30)


class Recorded:
    """How long each file was when it was last synced."""

    def __init__(self, log: Path, folder: Path):
        self._folder = str(folder)
        self._size: defaultdict[str, int] = defaultdict(int)
        self._synced: dict[str, int] = {}
        for call, arguments, answer in _calls(log):
            self._follow(call, arguments, answer)

    def _follow(self, call: str, arguments: str, answer: int) -> None:
        if call.startswith(("rename", "link")):
            old, new = (str(Path(base or "/", path)) for base, path in _PATH.findall(arguments)[:2])
            self._move(old, new, keep=call.startswith("link"))
            return
        found = _OPEN_FILE.match(arguments)
        if found is None or not found[1].startswith(self._folder):
            return
        path = found[1].removesuffix("(deleted)")
        if call in ("write", "writev"):
            self._size[path] += answer
        elif call in ("pwrite64", "pwritev") and (offset := _LAST_NUMBER.search(arguments)):
            self._size[path] = max(self._size[path], int(offset[1]) + answer)
        elif call == "ftruncate" and (length := _LAST_NUMBER.search(arguments)):
            self._size[path] = int(length[1])
            self._synced[path] = min(self._synced.get(path, 0), int(length[1]))
        elif call in ("fsync", "fdatasync"):
            self._synced[path] = self._size[path]

    def _move(self, old: str, new: str, *, keep: bool) -> None:
        for known in (self._size, self._synced):
            for path in [path for path in known if path == old or path.startswith(f"{old}/")]:
                known[new + path[len(old) :]] = known[path] if keep else known.pop(path)

    def lose_the_rest(self) -> int:
        """Cuts every file back to what was synced of it, by any of its names; answers how many were not whole."""
        synced: dict[int, int] = {}
        for path in Path(self._folder).rglob("*"):
            if path.is_file() and not path.is_symlink() and str(path) in self._size:
                inode = path.stat().st_ino
                synced[inode] = max(synced.get(inode, 0), self._synced.get(str(path), 0))
        cut = 0
        for path in Path(self._folder).rglob("*"):
            known = path.is_file() and not path.is_symlink() and path.stat().st_ino in synced
            if known and path.stat().st_size > (kept := synced[path.stat().st_ino]):
                os.truncate(path, kept)
                cut += 1
        return cut


def _calls(log: Path) -> Iterator[tuple[str, str, int]]:
    """Each call that succeeded, in the order in which they ended."""
    begun: dict[str, str] = {}
    with log.open(errors="replace") as lines:
        for line in lines:
            text = line.rstrip("\n")
            if (unfinished := _UNFINISHED.match(text)) is not None:
                begun[unfinished[1]] = unfinished[2]
                continue
            if (resumed := _RESUMED.match(text)) is not None:
                text = begun.pop(resumed[1], "") + resumed[2]
            if (call := _CALL.match(text)) is not None:
                yield call[1], call[2], int(call[3])

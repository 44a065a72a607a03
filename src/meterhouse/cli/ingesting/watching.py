"""Files that appear in a folder, each ingested once it is whole, and then put aside.

Nothing is remembered but where a file is. Whatever ends the command between ingesting a file and putting it aside, the
file is ingested again, and its events are duplicates.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from ..terminal import encode_json, out
from .mapping import CsvMapping
from .opening import begin
from .records import Hopeless
from .refusals import Account, RefusedFile, note
from .sending import NotSent, Sender

if TYPE_CHECKING:
    from ..client import Client

DONE, REFUSED = "done", "refused"
"""The folders in the one that is watched."""
_UNFINISHED = (".tmp", ".temp", ".part", ".partial", ".unfinished", ".crdownload", ".filepart", ".swp", "~")
_LOOKS = 4
"""How often the folder is looked at while a file has to stay as it is."""

_Stamp: TypeAlias = "tuple[int, int, int]"
"""Of a file: which it is, its size and the time of its last change."""


@dataclass(slots=True)
class Watch:
    """A folder that is watched."""

    folder: Path
    settle_s: float
    """How long a file has to stay as it is to be taken for whole."""
    stopping: threading.Event
    client: Client
    namespace: str | None
    mapping: CsvMapping | None
    json: bool
    _seen: dict[Path, tuple[_Stamp, int]] = field(default_factory=dict)
    """How each file was when it was looked at, and how many times it was so."""
    _told: dict[Path, str] = field(default_factory=dict)
    """Why a file has to wait."""

    def run(self) -> None:
        """Ingests what appears until it is told to stop. Raises `Failed` where the command itself is wrong."""
        for each in (DONE, REFUSED):
            (self.folder / each).mkdir(exist_ok=True)
        while not self.stopping.is_set():
            for path in self._whole():
                if not self.stopping.is_set():
                    self._try(path)
            self.stopping.wait(self.settle_s / _LOOKS)

    def _whole(self) -> list[Path]:
        """The files that have stayed as they are, the oldest first."""
        found = {path: stamp for path, stamp in self._files() if stamp[1]}
        self._seen = {
            path: (stamp, self._seen[path][1] + 1 if self._seen.get(path, (None,))[0] == stamp else 0)
            for path, stamp in found.items()
        }
        settled = [path for path, (_, looks) in self._seen.items() if looks >= _LOOKS]
        return sorted(settled, key=lambda path: (found[path][2], path.name))

    def _files(self) -> Iterator[tuple[Path, _Stamp]]:
        for path in self.folder.iterdir():
            if path.name.startswith(".") or path.name.lower().endswith(_UNFINISHED) or not path.is_file():
                continue
            stamp = _stamp(path)
            if stamp is not None:
                yield path, stamp

    def _try(self, path: Path) -> None:
        """Takes a file, or says once why it has to wait."""
        try:
            self._take(path)
            self._told.pop(path, None)
        except (NotSent, OSError) as wrong:
            if self._told.get(path) != str(wrong):
                note(f"{path.name} waits: {wrong}")
            self._told[path] = str(wrong)

    def _take(self, path: Path) -> None:
        before, account = _stamp(path), Account()
        kept = self.folder / REFUSED / _versioned(path)
        kept.unlink(missing_ok=True)  # of the same content, when the command was ended before it put the file aside
        refused, by_content, hopeless = None, False, ""
        try:
            with ExitStack() as stack:
                reading = begin(str(path), stack.enter_context(path.open("rb")), self.mapping, stack)
                by_content, refused = reading.by_content, RefusedFile(kept, reading.heading)
                for _ in Sender(self.client, self.namespace, account, refused).send(reading.records):
                    if self.stopping.is_set():
                        return
                for each in reading.notes():
                    note(f"{path.name}: {each}")
        except Hopeless as wrong:
            hopeless = str(wrong)
        self._tell(path.name, account, refused, by_content=by_content)
        if _stamp(path) != before:
            if not by_content:
                return  # it is read again, and what was read is known
            hopeless = (
                "it was changed while it was read. What was read is ingested; its rows would be other events now. Let "
                "files appear under their names when they are whole"
            )
        if hopeless:
            self._put_aside(path, kept, f"{hopeless}\n")
        else:
            path.replace(self.folder / DONE / kept.name)

    def _put_aside(self, path: Path, kept: Path, why: str) -> None:
        """Refuses a file as a whole, with a file beside it that says why."""
        kept.with_name(f"{kept.name}.why.txt").write_text(why, "utf-8")
        path.replace(kept)
        note(f"{path.name} is refused, and in {kept}: {why.rstrip()}")

    def _tell(self, name: str, account: Account, refused: RefusedFile | None, *, by_content: bool) -> None:
        if self.json:
            out.print(encode_json({"file": name, **account.totals}), markup=False, highlight=False, soft_wrap=True)
        else:
            account.print_summary(f"{name}: ")
        account.print_refusals(refused, by_content=by_content)


def _stamp(path: Path) -> _Stamp | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _versioned(path: Path) -> str:
    """The file's name with a hash of its content, so that files of one name stand beside each other."""
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()[:8]
    return f"{path.stem}.{digest}{path.suffix}"

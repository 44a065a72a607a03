"""How far a source has been read, in a file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import msgspec

from ..terminal import Failed


class _State(msgspec.Struct, forbid_unknown_fields=True):
    source: str
    cursor: str


@dataclass(slots=True)
class StateFile:
    """The place in one source up to which everything is stored in Meterhouse."""

    path: Path
    source: str
    """What the place is in: a file is good for one."""

    def read(self) -> str | None:
        """The place; None before there is one. Raises `Failed` for a file of something else."""
        try:
            state = msgspec.json.decode(self.path.read_bytes(), type=_State)
        except FileNotFoundError:
            return None
        except OSError as wrong:
            raise Failed(f"{self.path} cannot be read: {wrong.strerror}") from None
        except (msgspec.DecodeError, UnicodeDecodeError):
            raise Failed(f"{self.path} is not a state that was noted by this command: name another file") from None
        if state.source != self.source:
            raise Failed(f"{self.path} is about {state.source}, not about {self.source}: name another file")
        return state.cursor

    def write(self, cursor: str) -> None:
        """Notes a place; when it returns, that is on disk. Raises `Failed`."""
        unfinished = self.path.with_name(f"{self.path.name}.unfinished")
        try:
            with unfinished.open("wb") as stream:
                stream.write(msgspec.json.encode(_State(self.source, cursor)) + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
            unfinished.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY)  # the name has to last as well
            try:
                os.fsync(folder)
            finally:
                os.close(folder)
        except OSError as wrong:
            raise Failed(f"{self.path} cannot be written: {wrong.strerror}") from None

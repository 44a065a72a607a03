"""What the event store needs of a ClickHouse, wherever it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from ....domain.errors import InsufficientStorage, StorageDamaged, Unavailable
from ....ports.chunks import Chunks
from .table_form import TableForm

Parameter = str | int | Sequence[int] | Sequence[str]
Parameters = Mapping[str, Parameter]
NO_PARAMETERS: Parameters = {}


class Engine(Protocol):
    """A ClickHouse that takes SQL. Calls block, and may come from many threads at once.

    Values reach a statement as `{name:Type}` parameters only. Any failure raises `EngineError`.
    """

    @property
    def table_form(self) -> TableForm:
        """How its tables are made."""
        ...

    def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
        """Runs a statement that answers nothing."""
        ...

    def rows(self, sql: str, parameters: Parameters) -> list[list[Any]]:
        """The rows of a query; 64-bit integers as int. Wider numbers must be selected as text."""
        ...

    def uint64s(self, sql: str, parameters: Parameters) -> bytes:
        """The single UInt64 column of a query, as packed little-endian bytes."""
        ...

    def insert(self, table: str, block: bytes, token: str = "") -> None:
        """Inserts a block of ClickHouse's Native format as one part: on disk when it returns, all or nothing.

        A table that remembers tokens, see `TableForm`, takes what has a token once, however often it is inserted.
        """
        ...

    def stream(self, sql: str, parameters: Parameters, output_format: str) -> Chunks:
        """The answer to a query in one of ClickHouse's formats, piece by piece; holds little of it at a time."""
        ...

    def sync_names(self, table: str) -> None:
        """Syncs the names of a table's parts, so that they survive a loss of power. The files that an insert wrote are
        synced already."""
        ...

    def sync_parts(self, table: str) -> None:
        """Syncs the parts of a table as they are now, whatever wrote them."""
        ...

    def release_memory(self) -> None:
        """Gives the system back the memory that is kept for the next large statement, where it is this process's."""
        ...

    def abandon(self) -> None:
        """Gives the tables up to the next owner: nobody knows any more what is still to come into them."""
        ...

    def close(self) -> None:
        """Ends the engine."""
        ...


@runtime_checkable
class EmbeddedEngine(Engine, Protocol):
    """An engine over a folder that this process reads and writes, too; its statements may name files."""

    def freeze(self, table: str, name: str) -> Path:
        """Links the files of a table as it is now, into a folder with a folder for each part. `name` must be new.
        `unfreeze` removes them; the next start removes what is left."""
        ...

    def unfreeze(self, name: str) -> None:
        """Removes what was frozen under that name."""
        ...

    def attach(self, table: str, parts: Path) -> None:
        """Moves parts, in such a folder on the same disk, into a table of the same columns."""
        ...


class EngineError(Exception):
    """The engine refused or failed; the message is the engine's own and may hold data: for logs, not for clients."""


class FullDisk(EngineError, InsufficientStorage):
    """There is no room on the disk."""


class DamagedStorage(EngineError, StorageDamaged):
    """Stored data cannot be read, or is not as it was written."""


class EngineUnavailable(EngineError, Unavailable):
    """The engine did not answer: what it was told to do may be done or not. The message is for clients, `reason` for
    logs."""

    def __init__(self, reason: str):
        super().__init__("the store of events does not answer at the moment: send this again")
        self.reason = reason


_FULL = {243}
_DAMAGED = {33, 40, 79, 107, 246, 271, 432, 713}
"""Codes of ClickHouse's errors for a file that is short, missing, or not what was written."""


def error_of(code: int, message: str) -> EngineError:
    """The error for one of ClickHouse's."""
    if code in _FULL or "No space left on device" in message:
        return FullDisk(message)
    return DamagedStorage(message) if code in _DAMAGED else EngineError(message)

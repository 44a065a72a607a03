"""Opening what a server stands on: here a data folder, with its ledger, its store, and the turns that keep them
together."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Protocol

import structlog
from sqlalchemy import URL

from ..domain.errors import FolderError, MeterhouseError
from ..domain.meter import Meter
from ..domain.shards import Seat
from .clickhouse.engine.engine import EngineError
from .folder import DataFolder
from .ledger.shared_ledger import SharedLedger
from .ledger.sql_ledger import SqlLedger
from .pairing import begin_turn, hold_to_each_other
from .reserved_space import ReservedSpace

if TYPE_CHECKING:
    from .clickhouse.store import ClickHouseEventStore

_log = structlog.get_logger(__name__)


class Ground(Protocol):
    """What a server stands on."""

    ledger: SqlLedger
    seat: Seat
    """The shard that this process has."""

    def open_store(self, meters: Mapping[str, tuple[Meter, ...]]) -> ClickHouseEventStore:
        """The store of the shard; called once at most. Raises `FolderError`, which says what to do."""
        ...

    def announce(self, url: str) -> None:
        """Is told where the server is found."""
        ...

    def mark_moved(self, migration: str) -> None:
        """Writes down for good that a cluster has everything. Raises `OSError`, and `FolderError` where there is no
        folder."""
        ...

    def close(self) -> None:
        """Closes the store, and everything below it."""
        ...


class FolderGround:
    """A data folder, or one of the shards of one. See `Ground`."""

    def __init__(self, folder: DataFolder, ledger_url: str | URL | None, shard: int | None = None):
        """Takes over the folder; with a `shard` other processes have the same ledger, which is named then. Raises
        `FolderError`; the folder is closed then."""
        self._folder = folder
        self._cleanup = ExitStack()
        self._cleanup.callback(folder.close)
        self._reserved = ReservedSpace(folder.journal / "spare")
        self._several = shard is not None
        with ExitStack() as on_failure:
            on_failure.callback(self.close)
            if shard is None:
                self.ledger = open_ledger(ledger_url, folder, self._reserved)
                self.seat = Seat()
            else:
                self.ledger = open_shared_ledger(ledger_url or folder.ledger_url, self._reserved)
                self.seat = Seat(shard, self.ledger.shard_map())
            self._cleanup.callback(self.ledger.close)
            on_failure.pop_all()

    def open_store(self, meters: Mapping[str, tuple[Meter, ...]]) -> ClickHouseEventStore:
        """See `Ground`."""
        from .assembly import assemble_store  # noqa: PLC0415 - with it comes numpy
        from .clickhouse.engine.chdb_engine import ChdbEngine  # noqa: PLC0415 - 150 MB that accounts don't need

        folder, ledger, shard = self._folder, self.ledger, self.seat.number
        if not self._several:
            _refuse_shards(folder, ledger)
        try:
            hold_to_each_other(folder.manifest, ledger, shard)
            store = assemble_store(ChdbEngine(folder.events), folder, self._reserved, meters)
        except (EngineError, FolderError) as failure:
            raise FolderError(f"{failure}{_what_to_do(folder)}") from failure
        self._cleanup.callback(_end_turn, folder, ledger, shard)
        self._cleanup.callback(store.close)
        begin_turn(folder.manifest, ledger, shard)
        return store

    def announce(self, url: str) -> None:
        """See `Ground`."""
        self._folder.announce(url)

    def mark_moved(self, migration: str) -> None:
        """See `Ground`."""
        self._folder.mark_moved(migration)

    def close(self) -> None:
        """See `Ground`."""
        self._cleanup.close()


def open_ledger(url: str | URL | None, folder: DataFolder, reserved: ReservedSpace) -> SqlLedger:
    """The ledger at a URL, or else the one in the folder. Raises `FolderError`."""
    if url is None:
        if folder.lacks_ledger:
            raise FolderError(f"{folder.ledger} is gone, with all organizations and keys{_what_to_do(folder)}")
        return SqlLedger.open(folder.ledger_url, reserved)
    return _named(SqlLedger, url, reserved)


def open_shared_ledger(url: str | URL, reserved: ReservedSpace) -> SqlLedger:
    """A ledger that the processes of all shards have. Raises `FolderError`."""
    return SharedLedger.open(url, reserved) if isinstance(url, URL) else _named(SharedLedger, url, reserved)


def _named(kind: type[SqlLedger], url: str | URL, reserved: ReservedSpace) -> SqlLedger:
    try:
        return kind.open(url, reserved)
    except FolderError as wrong:
        raise FolderError(f"METERHOUSE_LEDGER_URL: {wrong}") from wrong


def _refuse_shards(folder: DataFolder, ledger: SqlLedger) -> None:
    """Raises `FolderError` for a folder of several shards: a process has one engine, and every shard needs its own."""
    if (count := ledger.shard_map().count) > 1:
        raise FolderError(
            f"{folder.path} has {count} shards: serve it with `meterhouse serve`, and name the server with --url"
        )
    if folder.shards.exists():
        raise FolderError(f"{folder.path} has shards, and the ledger does not know of them{_what_to_do(folder)}")


def _end_turn(folder: DataFolder, ledger: SqlLedger, shard: int) -> None:
    """Writes down that this run has ended in order."""
    try:
        begin_turn(folder.manifest, ledger, shard)
    except (OSError, MeterhouseError) as failure:  # the next start takes the pair as it was
        _log.warning("the end of this run could not be written down", exc_info=failure)


def _what_to_do(folder: DataFolder) -> str:
    return (
        f".\nThe server does not start on {folder.path}, and nothing in it was changed: restore a backup, or run "
        f"`meterhouse repair {folder.path}`, which puts right what it can and says what is lost before it goes on."
    )

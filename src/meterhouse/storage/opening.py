"""Opening what a data folder holds, for a server: its ledger, its store, and the turns that keep them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import structlog
from sqlalchemy import URL

from ..domain.errors import FolderError, MeterhouseError
from ..domain.meter import Meter
from .clickhouse.engine.engine import EngineError
from .folder import DataFolder
from .ledger.shared_ledger import SharedLedger
from .ledger.sql_ledger import SqlLedger
from .pairing import begin_turn, hold_to_each_other
from .reserved_space import ReservedSpace

if TYPE_CHECKING:
    from .clickhouse.store import ClickHouseEventStore

_log = structlog.get_logger(__name__)


def open_ledger(url: str | None, folder: DataFolder, reserved: ReservedSpace) -> SqlLedger:
    """The ledger at a URL, or else the one in the folder. Raises `FolderError`."""
    if url is None:
        if folder.lacks_ledger:
            raise FolderError(f"{folder.ledger} is gone, with all organizations and keys{_what_to_do(folder)}")
        return SqlLedger.open(folder.ledger_url, reserved)
    return _named(SqlLedger, url, reserved)


def open_shared_ledger(url: str | URL, reserved: ReservedSpace) -> SqlLedger:
    """A ledger that the processes of all shards have. Raises `FolderError`."""
    return SharedLedger.open(url, reserved) if isinstance(url, URL) else _named(SharedLedger, url, reserved)


def _named(kind: type[SqlLedger], url: str, reserved: ReservedSpace) -> SqlLedger:
    try:
        return kind.open(url, reserved)
    except FolderError as wrong:
        raise FolderError(f"METERHOUSE_LEDGER_URL: {wrong}") from wrong


def refuse_shards(folder: DataFolder, ledger: SqlLedger) -> None:
    """Raises `FolderError` for a folder of several shards: a process has one engine, and every shard needs its own."""
    if (count := ledger.shard_map().count) > 1:
        raise FolderError(
            f"{folder.path} has {count} shards: serve it with `meterhouse serve`, and name the server with --url"
        )
    if folder.shards.exists():
        raise FolderError(f"{folder.path} has shards, and the ledger does not know of them{_what_to_do(folder)}")


def open_store(
    folder: DataFolder,
    ledger: SqlLedger,
    reserved: ReservedSpace,
    meters: Mapping[str, tuple[Meter, ...]],
    shard: int = 0,
) -> ClickHouseEventStore:
    """The store of a folder, held to its ledger. Raises `FolderError`, which says what to do."""
    from .assembly import assemble_store  # noqa: PLC0415 - with it comes numpy
    from .clickhouse.engine.chdb_engine import ChdbEngine  # noqa: PLC0415 - 150 MB that accounts don't need

    try:
        hold_to_each_other(folder.manifest, ledger, shard)
        return assemble_store(ChdbEngine(folder.events), folder, reserved, meters)
    except (EngineError, FolderError) as failure:
        raise FolderError(f"{failure}{_what_to_do(folder)}") from failure


def end_turn(folder: DataFolder, ledger: SqlLedger, shard: int = 0) -> None:
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

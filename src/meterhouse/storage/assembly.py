"""How an event store is put together: the server's and that of every test."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..domain.meter import Meter
from .clickhouse.engine.engine import Engine
from .clickhouse.journal.segments import Segments
from .clickhouse.store import ClickHouseEventStore
from .folder import DataFolder
from .reserved_space import ReservedSpace


def assemble_store(
    engine: Engine, folder: DataFolder, reserved: ReservedSpace, meters: Mapping[str, Iterable[Meter]]
) -> ClickHouseEventStore:
    """The store of a folder, over an engine on its events: `close` ends both. `meters`, by namespace, get rollups.

    Raises `EngineError` and `FolderError`; the engine has ended then.
    """
    try:
        log = Segments(engine, folder.journal, folder.manifest, reserved)
        return ClickHouseEventStore(engine, meters, folder.identities, folder.manifest, log)
    except BaseException:
        engine.close()
        raise

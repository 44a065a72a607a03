"""Event stores as they ship, journal and all, for tests that need no server around one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NoReturn, TypeVar

import pytest

from meterhouse.domain.meter import Meter
from meterhouse.storage import durable
from meterhouse.storage.assembly import assemble_store
from meterhouse.storage.clickhouse.engine.engine import Engine
from meterhouse.storage.clickhouse.journal import journal
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from meterhouse.storage.folder import DataFolder
from meterhouse.storage.reserved_space import ReservedSpace

from .engines import StoreEngine

Meters = Mapping[str, Iterable[Meter]]
NONE: Meters = {}
_opened: list[ClickHouseEventStore] = []
SomeEngine = TypeVar("SomeEngine", bound=Engine)


def open_store(path: Path, meters: Meters = NONE) -> ClickHouseEventStore:
    """The store of a data folder."""
    store, _ = open_on(path, StoreEngine, meters)
    return store


def open_on(
    path: Path, engine: Callable[[Path], SomeEngine], meters: Meters = NONE
) -> tuple[ClickHouseEventStore, SomeEngine]:
    """The store of a data folder, on an engine of another kind.

    The folder's lock is let go at once, so that a test can leave a store as a crash does, and open the folder again.
    """
    while _opened:  # a test that failed has left it, and a process has one engine
        crash(_opened.pop())
    with closing(DataFolder(path)) as folder:
        opened = engine(folder.events)
        store = assemble_store(opened, folder, ReservedSpace(folder.journal / "spare"), meters)
    _opened.append(store)
    return store, opened


def crash(store: ClickHouseEventStore) -> None:
    """Ends a store as the end of its process does: what waits to be stored is in the journal's files, and nowhere."""
    waiting = store._journal
    if not waiting._thread.is_alive():
        return
    with waiting._changed:
        waiting._closing = True
        waiting._changed.notify()
    waiting._thread.join()
    waiting._log.close(emptied=False)
    store._direct.close()


@contextmanager
def stored_only_when_asked() -> Iterator[None]:
    """What is committed waits in the journal until somebody asks for events."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "_STORE_AFTER_SECONDS", 600)
        yield


@contextmanager
def failing_disk() -> Iterator[None]:
    """Writes arrive, but nobody learns whether for good: commits are refused."""

    def fails(_file: int) -> NoReturn:
        raise OSError(5, "told to fail")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(durable, "sync_file", fails)
        yield

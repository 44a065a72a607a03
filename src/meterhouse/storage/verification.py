"""Whether a data folder is whole: everything that it has, read to the last byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np

from ..domain.errors import MeterhouseError
from .clickhouse.dedup.filter_snapshot import SnapshotFile
from .clickhouse.dedup.identity_filter import IdentityFilter
from .clickhouse.engine.chdb_engine import ChdbEngine
from .clickhouse.engine.engine import Engine, EngineError
from .clickhouse.journal.journal import read_segments
from .clickhouse.maintenance import inspection_queries
from .clickhouse.maintenance.inspection import Meters, damaged_parts, has_table, hold_to_manifest
from .folder import DataFolder
from .ledger.sql_ledger import SqlLedger
from .pairing import hold_to_each_other

_SHARES = 64
"""Identities are compared in so many steps, so that memory does not grow with them."""


def verify(folder: DataFolder, ledger_url: str | None, meters: Meters) -> Iterator[str]:
    """Every problem of a folder that nobody serves, in a sentence; none when it is whole."""
    yield from _problems(lambda: _verify_ledger(folder, ledger_url))
    yield from _problems(lambda: map(str, read_segments(folder.journal, folder.manifest.state.commit)[1]))
    try:
        engine = ChdbEngine(folder.events)
    except EngineError as failure:
        yield f"the events cannot be opened: {failure}"
        return
    with closing(engine):
        yield from _problems(lambda: _verify_events(engine, folder, meters))


def _problems(check: Callable[[], Iterable[str]]) -> Iterator[str]:
    """Those that it finds, and the one that keeps it from going on."""
    try:
        yield from check()
    except (MeterhouseError, EngineError, OSError) as wrong:
        yield str(wrong)


def _verify_ledger(folder: DataFolder, ledger_url: str | None) -> Iterator[str]:
    if ledger_url is None and not folder.ledger.exists():
        if folder.manifest.state.turn:
            yield f"{folder.ledger} is gone, with all organizations and keys"
        return
    with closing(SqlLedger.open(ledger_url or folder.ledger_url)) as ledger:
        hold_to_each_other(folder.manifest, ledger)
    yield from ()


def _verify_events(engine: Engine, folder: DataFolder, meters: Meters) -> Iterator[str]:
    if folder.manifest.state.commit is not None:
        yield from _problems(lambda: _hold(engine, folder, meters))
    if has_table(engine):
        yield from _problems(lambda: map(str, damaged_parts(engine)))
        yield from _problems(lambda: _verify_identities(engine, folder.identities))


def _hold(engine: Engine, folder: DataFolder, meters: Meters) -> Iterator[str]:
    hold_to_manifest(engine, folder.manifest, meters)
    yield from ()


def _verify_identities(engine: Engine, snapshot: Path) -> Iterator[str]:
    """An identity that a filter lacks would be counted twice when it is sent again."""
    saved = SnapshotFile(snapshot).load()
    if saved is None:
        return  # the next start makes it from the events
    known = IdentityFilter(lambda _first, _last: np.empty(0, np.uint64))
    known.restore(saved.shards)
    lacking = 0
    width = 2**64 // _SHARES
    for first in range(0, 2**64, width):
        scope = {"first": first, "last": first + width - 1, "commit": saved.fingerprint.commit}
        identities = np.frombuffer(engine.uint64s(inspection_queries.IDENTITIES_BETWEEN_UPTO, scope), dtype="<u8")
        lacking += int(np.count_nonzero(~known.may_contain(identities)))
    if lacking:
        yield f"{snapshot} lacks {lacking:,} identities, which would count twice if they were sent again: remove it"

"""Whether a data folder is whole: everything that it has, read to the last byte."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from pathlib import Path

import numpy as np

from ..domain.errors import FolderError, MeterhouseError
from .clickhouse.dedup.filter_snapshot import SnapshotFile
from .clickhouse.dedup.identity_filter import IdentityFilter
from .clickhouse.engine.chdb_engine import ChdbEngine
from .clickhouse.engine.engine import Engine, EngineError
from .clickhouse.journal.segments import read_segments
from .clickhouse.maintenance import inspection_queries
from .clickhouse.maintenance.inspection import Meters, damaged_parts, has_table, hold_to_manifest
from .folder import DataFolder, shard_folder
from .ledger.sql_ledger import SqlLedger
from .pairing import NotAPair, hold_to_each_other

_SHARES = 64
"""Identities are compared in so many steps, so that memory does not grow with them."""


def verify(folder: DataFolder, ledger_url: str | None, meters: Meters) -> Iterator[str]:
    """Every problem of a folder that nobody serves, in a sentence; none when it is whole."""
    yield from folder.problems
    with ExitStack() as stack:
        shards = {"": (0, folder)}
        if folder.shards.exists():
            shards = {}
            for number in folder.shard_numbers():
                try:
                    shard = DataFolder(shard_folder(folder.path, number), repairing=True)
                except FolderError as wrong:
                    yield f"shard {number}: {wrong}"
                    continue
                stack.callback(shard.close)
                shards[f"shard {number}: "] = number, shard
                yield from (f"shard {number}: {problem}" for problem in shard.problems)
        yield from _problems(lambda: _verify_ledger(folder, ledger_url, shards))
        for where, (_, shard) in shards.items():
            yield from (f"{where}{problem}" for problem in _verify_store(shard, meters))


def _verify_store(folder: DataFolder, meters: Meters) -> Iterator[str]:
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


def _verify_ledger(
    folder: DataFolder, ledger_url: str | None, shards: Mapping[str, tuple[int, DataFolder]]
) -> Iterator[str]:
    if ledger_url is None and not folder.ledger.exists():
        if any(shard.manifest.state.turn for _, shard in shards.values()):
            yield f"{folder.ledger} is gone, with all organizations and keys"
        return
    with closing(SqlLedger.open(ledger_url or folder.ledger_url)) as ledger:
        known, there = ledger.shard_map().count, sorted(number for number, _ in shards.values())
        if there != [*range(known)]:
            yield f"the ledger tells of shards 0 to {known - 1}, and there are {', '.join(map(str, there)) or 'none'}"
        for where, (number, shard) in shards.items():
            try:
                hold_to_each_other(shard.manifest, ledger, number)
            except NotAPair as wrong:
                yield f"{where}{wrong}"


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

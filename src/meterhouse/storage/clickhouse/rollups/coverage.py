"""Whether the table of rollups has every row that was inserted into it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ...manifest import Manifest, RollupParts
from ..engine import schema_queries
from ..engine.engine import NO_PARAMETERS, Engine, EngineError
from . import table_queries


class RollupCoverage:
    """Records the table's blocks of rows after each materialization. Merges keep them: a merged part covers the blocks
    of its sources. A missing or broken part leaves a gap, and its watermark is wrong."""

    def __init__(self, engine: Engine, manifest: Manifest):
        self._engine = engine
        self._manifest = manifest

    def is_whole(self) -> bool:
        """Whether every recorded block is there."""
        recorded, present = self._manifest.state.rollups, self._present()
        if recorded is None:
            return not present.blocks  # a new folder, or one that was restored
        return recorded.table == present.table and covers(present.blocks, recorded.blocks)

    def record(self) -> None:
        """Records the blocks that there are now. Raises `EngineError`."""
        self._update(self._present())

    def forget(self) -> None:
        """Forgets the recorded blocks. Call it before the table is replaced. Raises `EngineError`."""
        self._update(None)

    def _update(self, rollups: RollupParts | None) -> None:
        try:
            self._manifest.update(rollups=rollups)
        except OSError as failure:
            raise EngineError(f"the manifest cannot be written: {failure}") from failure

    def _present(self) -> RollupParts:
        [[table]] = self._engine.rows(schema_queries.FOLDER_OF_TABLE, {"table": "rollups"})
        return RollupParts(Path(table).name, joined(self._engine.rows(table_queries.PARTS_OF_ROLLUPS, NO_PARAMETERS)))


def joined(ranges: Iterable[Iterable[int]]) -> list[tuple[int, int]]:
    """Ranges of blocks, sorted by their first, with neighbours put together."""
    blocks: list[tuple[int, int]] = []
    for first, last in ranges:
        if blocks and first <= blocks[-1][1] + 1:
            blocks[-1] = blocks[-1][0], max(blocks[-1][1], last)
        else:
            blocks.append((first, last))
    return blocks


def covers(present: Iterable[tuple[int, int]], wanted: Iterable[tuple[int, int]]) -> bool:
    """Whether each of the wanted ranges lies inside one of those that are present."""
    there = [*present]
    return all(any(first <= begin and end <= last for first, last in there) for begin, end in wanted)

"""Whether a table of rollups has every row that was put into it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from ..manifest import Manifest, RollupParts
from . import fold_queries
from .engine import NO_PARAMETERS, Engine, EngineError


class RollupCoverage:
    """Writes with each fold which blocks of rows there are. Merges keep them: a merged part covers the blocks of those
    it was made from. A part that is gone or was found broken leaves a gap, and a watermark that is not true."""

    def __init__(self, engine: Engine, manifest: Manifest | None):
        self._engine = engine
        self._manifest = manifest

    def is_whole(self) -> bool:
        """Whether everything that was written down is there."""
        if self._manifest is None:
            return True
        recorded, present = self._manifest.state.rollups, self._present()
        if recorded is None:
            return not present.blocks  # a new folder, or one that was restored
        return recorded.table == present.table and covers(present.blocks, recorded.blocks)

    def record(self) -> None:
        """Writes what there is now. Raises `EngineError`."""
        self._update(self._present())

    def forget(self) -> None:
        """To be called before the table is replaced. Raises `EngineError`."""
        self._update(None)

    def _update(self, rollups: RollupParts | None) -> None:
        if self._manifest is None:
            return
        try:
            self._manifest.update(rollups=rollups)
        except OSError as failure:
            raise EngineError(f"the manifest cannot be written: {failure}") from failure

    def _present(self) -> RollupParts:
        [[table]] = self._engine.rows(fold_queries.PLACE_OF_ROLLUPS, NO_PARAMETERS)
        return RollupParts(Path(table).name, joined(self._engine.rows(fold_queries.PARTS_OF_ROLLUPS, NO_PARAMETERS)))


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

"""What a question is answered from: rollups, the events that they lack, and the memtable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ....domain.meter import MeterQuery
from ..corrections.dirty_slots import DirtySlots
from ..engine.engine import Engine
from ..engine.statement import RawScan, Statement
from ..memtable.last_commits import LastCommits
from ..memtable.memtable import Memtable, MemtableEntry
from ..rollups.definition import ReadPlan, RollupDefinition, plan_read
from ..rollups.rollups import Rollups

_MOST_RAW_RANGES = 100
"""The most ranges of time that one question reads from the events beside its whole slots; with more, it reads all of
its time from the events."""


class Sources:
    """The engine, the rollups and the memtable, as the readers of all aggregations use them."""

    def __init__(
        self,
        engine: Engine,
        direct: Engine,
        *,
        rollups: Rollups,
        dirty_slots: DirtySlots,
        memtable: Memtable,
        last_commits: LastCommits,
    ):
        """`direct` is the engine without its journal: it serves whatever reads no event after the watermarks."""
        self.engine = engine
        self.direct = direct
        self.rollups = rollups
        self._dirty_slots = dirty_slots
        self._memtable = memtable
        self._last_commits = last_commits

    def rows(self, statement: Statement) -> list[list[Any]]:
        """The rows of a statement about events."""
        return self.engine.rows(statement.sql, statement.parameters)

    def direct_rows(self, statement: Statement) -> list[list[Any]]:
        """The rows of a statement about rollups alone."""
        return self.direct.rows(statement.sql, statement.parameters)

    def corrected(self, query: MeterQuery) -> bool:
        """Whether any of the events in question was ever voided."""
        if query.organization is None:
            return bool(self._dirty_slots.of_namespace(query.namespace))
        return bool(self._dirty_slots.of(query.namespace, query.organization))

    def plan(self, query: MeterQuery) -> ReadPlan:
        """How the query is read. What rollups may count of voided events is read from the events."""
        if query.organization is None:
            return plan_read(query.edges, dirty_of=self._dirty_slots.of_namespace(query.namespace))
        return plan_read(query.edges, self._dirty_slots.of(query.namespace, query.organization))

    def entries_after(self, query: MeterQuery, commit: int) -> Sequence[MemtableEntry] | None:
        """The events in question after a commit, from memory; None when the engine has to tell."""
        if self._last_commit(query) <= commit:
            return ()
        if query.organization is None:
            return None
        return self._memtable.scan((query.namespace, query.organization), commit, query.as_of_commit)

    def _last_commit(self, query: MeterQuery) -> int:
        """An upper bound on the last commit that has any of the events in question."""
        if query.organization is None:
            return self._memtable.latest
        return self._last_commits.of(query.namespace, query.organization)

    def watermark_for(self, query: MeterQuery, definitions: Sequence[RollupDefinition], plan: ReadPlan) -> int:
        """The commit up to which all definitions are materialized; 0 when they cannot answer the query."""
        if len(plan.raw_ranges) > _MOST_RAW_RANGES:
            return 0
        watermarks = {self.rollups.watermark_of(each) for each in definitions}
        if len(watermarks) != 1:
            return 0
        watermark = watermarks.pop()
        return watermark if watermark <= query.as_of_commit else 0

    def raw_scans(self, query: MeterQuery, watermark: int, plan: ReadPlan, *, since: bool = True) -> list[RawScan]:
        """The events that the whole slots lack: those in the plan's raw ranges and slots apart, and with `since` those
        stored after the watermark."""
        scans = [RawScan(watermark, within=plan.raw_ranges)] if plan.raw_ranges else []
        if plan.slots_apart:
            scans.append(RawScan(watermark, slots=plan.slots_apart))
        if since and self._last_commit(query) > watermark:
            scans.append(RawScan(watermark))
        return scans

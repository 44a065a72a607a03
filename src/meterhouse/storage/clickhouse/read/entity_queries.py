"""Statements that count entities by their state, from rollups and the events that the rollups lack."""

from __future__ import annotations

from collections.abc import Sequence

from ....domain.meter import MeterQuery
from ..engine.statement import UNSET, RawScan
from ..rollups.definition import Kind, RollupDefinition, SlotRange
from .measure_queries import MeterStatement, moment_of
from .slot_queries import SlotStatement

_NEVER = "toInt64(9223372036854775807)"


class CountedStates(SlotStatement):
    """Selects the entities of a STATE_COUNT by state, as whole slots count them. Its rows are those of `StateQuery`."""

    def __init__(self, query: MeterQuery, definition: RollupDefinition, slot_ranges: Sequence[SlotRange]):
        when, now = moment_of(query)
        super().__init__(query, one_window=now)
        group = query.group_by[0] if query.group_by else ""
        counts = definition.counting(Kind.CREATED if when == "created" else Kind.CHANGED, group)
        columns = [f"{self._window_of('slot')} AS window", *(["key"] if group else []), "state"]
        self.sql = (
            f"SELECT {', '.join(columns)}, sum(events) AS count FROM rollups"
            f" WHERE {self._rows_of([counts])} AND ({self._in_slot_ranges(slot_ranges) or '0'})"
            f" GROUP BY window{', key' if group else ''}, state HAVING count != 0"
        )


class FreshEntities(MeterStatement):
    """Selects the entities that the events in `scans` describe. Its rows: entity name, and what the events after the
    watermark say of it, as `partial_aggregates.Entity`."""

    def __init__(self, query: MeterQuery, definition: RollupDefinition, scans: Sequence[RawScan]):
        super().__init__(query, one_window=True, corrected=False)
        found = " UNION ALL ".join(self._of_events(definition, scan) for scan in scans)
        self.sql = f"SELECT entity, max(latest), min(created), max(s0) FROM ({found}) GROUP BY entity"

    def _of_events(self, definition: RollupDefinition, scan: RawScan) -> str:
        conditions = [
            *self._events(scan),
            *self._with_state(definition.event_type, definition.entity, definition.state),
        ]
        where = f"FROM events WHERE {' AND '.join(conditions)} GROUP BY entity"
        if scan.within:
            entity = self._text(definition.entity)
            return f"SELECT {entity} AS entity, {UNSET} AS latest, {_NEVER} AS created, {UNSET} AS s0 {where}"
        columns = self._state_columns(definition.entity, definition.state, self._query.group_by)
        return f"SELECT {columns}{'' if self._query.group_by else f', {UNSET} AS s0'} {where}"


class RolledUpEntities(SlotStatement):
    """Selects some entities from the rollups. Its rows are those of `FreshEntities`."""

    def __init__(self, query: MeterQuery, definition: RollupDefinition, entities: Sequence[str]):
        super().__init__(query)
        keys = self._parameter("Array(String)", entities)
        self.sql = (
            f"SELECT key, max(latest), min(first), max(said) FROM rollups"
            f" WHERE {self._rows_of([definition])} AND width = 0 AND key IN {keys} GROUP BY key"
        )

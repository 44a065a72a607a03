"""Statements that read rollups, and the events that the rollups lack."""

from __future__ import annotations

from collections.abc import Sequence

from ....domain.meter import Aggregation, MeterQuery
from ..engine.statement import NOT_SYSTEM, UNSET, RawScan, Statement, latest_terms
from ..rollups.definition import Kind, RollupDefinition, SlotRange
from ..rollups.materialize_queries import COLUMNS
from ..rollups.table_queries import FIRST_MICROS, SLOT_MICROS
from .measure_queries import MeterStatement, moment_of


class _Reading(MeterStatement):
    """Reads whole slots."""

    def __init__(self, query: MeterQuery, *, one_window: bool = False, corrected: bool = False):
        super().__init__(query, one_window=one_window or len(query.edges) == 2, corrected=corrected)

    def _rows_of(self, definition: Sequence[RollupDefinition]) -> str:
        ids = self._parameter("Array(UInt64)", [each.id for each in definition])
        return f"series IN {ids} AND organization = {self._parameter('String', self._query.organization)}"

    def _in_slot_ranges(self, slot_ranges: Sequence[SlotRange]) -> str:
        return " OR ".join(f"(width = {each.width} AND {self._from_to('slot', each)})" for each in slot_ranges)

    def _whole(self, slot: str, slot_ranges: Sequence[SlotRange]) -> str:
        """Whether a slot is one of those that are read, alone or in a day."""
        return " OR ".join(f"({self._from_to(slot, each)})" for each in slot_ranges) or "0"

    def _from_to(self, column: str, slot_range: SlotRange) -> str:
        start, end = (self._parameter("UInt32", slot) for slot in (slot_range.start, slot_range.end))
        return f"{column} >= {start} AND {column} < {end}"

    def _window_of(self, slot: str) -> str:
        return self._window(f"(toInt64({slot}) * {SLOT_MICROS} + {FIRST_MICROS})")


class RollupQuery(_Reading):
    """Selects the slot ranges of a query. Its rows: definition, window, group, events, and for each of `kinds` the
    terms of the value, as in `MeasureQuery`."""

    def __init__(self, query: MeterQuery, definition: Sequence[RollupDefinition], slot_ranges: Sequence[SlotRange]):
        super().__init__(query)
        self.kinds = list(dict.fromkeys(each.kind for each in definition))
        keys = ["series", "window", *(["key"] if query.group_by else [])]
        columns = ["series", f"{self._window_of('slot')} AS window", "key" if query.group_by else "''", "sum(events)"]
        columns += [f"[{', '.join(_terms(kind))}]" for kind in self.kinds]
        conditions = [self._rows_of(definition), f"({self._in_slot_ranges(slot_ranges)})"]
        conditions += [f"key = {self._parameter('String', text)}" for _, text in query.filters]
        self.sql = (
            f"SELECT {', '.join(columns)} FROM rollups WHERE {' AND '.join(conditions)} GROUP BY {', '.join(keys)}"
            f"{self._limit(len(definition))}"
        )


def _terms(kind: Kind) -> list[str]:
    if kind is Kind.COUNT:
        return ["toString(sum(events))"]
    if kind is Kind.LATEST:
        return latest_terms("max(latest)")
    return [f"toString({kind.lower()}({COLUMNS[kind]}))"]


class TopQuery(_Reading):
    """Selects the groups with most of the first meter, among equals most of the second and so on, then by name. The
    engine adds up every group, and only the groups asked for leave it. The meters are COUNT and SUM, in one window;
    `definition` has those of each meter, `scans` the events that the slots lack. Its rows: group, and each meter's
    value as text."""

    def __init__(
        self,
        query: MeterQuery,
        count: int,
        definition: Sequence[Sequence[RollupDefinition]],
        slot_ranges: Sequence[SlotRange],
        scans: Sequence[RawScan],
        *,
        corrected: bool,
    ):
        super().__init__(query, one_window=True, corrected=corrected)
        meters = range(len(query.meters))
        sources = [
            self._of_slots(number, each, slot_ranges) for number in meters for each in definition[number] if slot_ranges
        ]
        sources += [source for scan in scans for number in meters for source in self._of_events(number, scan)]
        counts = [meter.aggregation is Aggregation.COUNT for meter in query.meters]
        columns = ["events" if counts[number] else "value" for number in meters]
        sums = ", ".join(f"sumIf({columns[number]}, meter = {number}) AS m{number}" for number in meters)
        order = ", ".join([*(f"m{number} DESC" for number in meters), "text"])
        self.sql = (
            f"SELECT text, {', '.join(f'toString(m{number})' for number in meters)} FROM ("
            f"SELECT text, {sums} FROM ({' UNION ALL '.join(sources)}) GROUP BY text HAVING sum(events) > 0"
            f" ORDER BY {order} LIMIT {self._parameter('UInt32', count)})"
        )

    def _of_slots(self, number: int, definition: RollupDefinition, slot_ranges: Sequence[SlotRange]) -> str:
        return (
            f"SELECT key AS text, {number} AS meter, total AS value, events FROM rollups"
            f" WHERE {self._rows_of([definition])} AND ({self._in_slot_ranges(slot_ranges)})"
        )

    def _of_events(self, number: int, scan: RawScan) -> list[str]:
        meter, [path] = self._query.meters[number], self._query.group_by
        conditions = [
            *self._events(scan),
            f"type = {self._parameter('String', meter.event_type)}",
            *self._time_conditions("time", self._query.edges[0], self._query.edges[-1]),
            *self._has(meter.required_numbers),
        ]
        return [
            f"SELECT {self._text(path)} AS text, {number} AS meter, {self._number(name)} AS value, toInt64(1) AS events"
            f" FROM events WHERE {' AND '.join(conditions)}"
            for name in meter.numbers or ("",)  # of a COUNT the events alone matter
        ]


class UniqueQuery(_Reading):
    """Counts the different values in each window: those of whole slots, and those of the events in `scans` that the
    slots do not have. Its rows: window, values."""

    def __init__(
        self,
        query: MeterQuery,
        definition: RollupDefinition,
        slot_ranges: Sequence[SlotRange],
        scans: Sequence[RawScan],
        *,
        corrected: bool,
    ):
        super().__init__(query, corrected=corrected)
        text, of_type = self._text(definition.value), f"type = {self._parameter('String', definition.event_type)}"
        within = self._time_conditions("time", query.edges[0], query.edges[-1])
        slots = f"SELECT {self._window_of('slot')} AS window, key AS value, events FROM rollups WHERE"
        sources = [f"{slots} {self._rows_of([definition])} AND ({self._in_slot_ranges(slot_ranges) or '0'})"]
        for scan in scans:
            events = (
                f"SELECT {self._window('toUnixTimestamp64Micro(time)')} AS window, {text} AS value FROM events"
                f" WHERE {' AND '.join([*self._events(scan), of_type, *within])} AND value != ''"
            )
            if scan.within:  # they are materialized: a value of a divided slot is alone in no other
                sources.append(f"SELECT window, value, 0 AS events FROM ({events})")
                continue
            counted = (
                f"SELECT {self._window_of('place')} AS window, key"
                " FROM (SELECT key, min(first) AS place, max(last) AS other FROM rollups"
                f" WHERE {self._rows_of([definition])} AND width = 0 AND key IN (SELECT value FROM ({events}))"
                f" GROUP BY key) WHERE place = other AND ({self._whole('place', slot_ranges)})"
            )
            sources.append(
                f"SELECT window, value, 0 AS events FROM ({events}) WHERE (window, value) NOT IN ({counted})"
            )
        self.sql = (
            "SELECT window, sum(events) + uniqExactIf(value, value != '')"
            f" FROM ({' UNION ALL '.join(sources)}) GROUP BY window"
        )


class RolledUpValues(_Reading):
    """Selects some values of a UNIQUE_COUNT from the rollups. Its rows: value, first slot, last slot."""

    def __init__(self, query: MeterQuery, definition: RollupDefinition, values: Sequence[str]):
        super().__init__(query)
        keys = self._parameter("Array(String)", values)
        self.sql = (
            "SELECT key, min(first), max(last) FROM rollups"
            f" WHERE {self._rows_of([definition])} AND width = 0 AND key IN {keys} GROUP BY key"
        )


class ValuesInSlots(_Reading):
    """Selects the windows of some values that are in several slots. Its rows: window, value."""

    def __init__(
        self, query: MeterQuery, definition: RollupDefinition, slot_ranges: Sequence[SlotRange], values: Sequence[str]
    ):
        super().__init__(query)
        keys = self._parameter("Array(String)", values)
        self.sql = (
            f"SELECT DISTINCT {self._window_of('slot')} AS window, key FROM rollups"
            f" WHERE {self._rows_of([definition])} AND ({self._in_slot_ranges(slot_ranges) or '0'}) AND key IN {keys}"
        )


class CountedStates(_Reading):
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


class RolledUpEntities(_Reading):
    """Selects some entities from the rollups. Its rows are those of `FreshEntities`."""

    def __init__(self, query: MeterQuery, definition: RollupDefinition, entities: Sequence[str]):
        super().__init__(query)
        keys = self._parameter("Array(String)", entities)
        self.sql = (
            f"SELECT key, max(latest), min(first), max(said) FROM rollups"
            f" WHERE {self._rows_of([definition])} AND width = 0 AND key IN {keys} GROUP BY key"
        )


_NEVER = "toInt64(9223372036854775807)"


class FirstQuery(Statement):
    """Selects the time of the organization's first event, from its rollup and, unless that has all, from the events
    after a commit. Its one row: the time, and how many rows it comes from."""

    def __init__(self, definition: RollupDefinition, organization: str, after_commit: int | None):
        super().__init__()
        name = self._parameter("String", organization)
        series = self._parameter("UInt64", definition.id)
        rows = f"SELECT first FROM rollups WHERE series = {series} AND organization = {name}"
        if after_commit is not None:
            rows += (
                " UNION ALL SELECT toUnixTimestamp64Micro(time) FROM events"
                f" WHERE namespace = {self._parameter('String', definition.namespace)} AND organization = {name}"
                f" AND commit > {self._parameter('UInt64', after_commit)} AND {NOT_SYSTEM}"
            )
        self.sql = f"SELECT min(first), count() FROM ({rows})"

"""Statements that count different values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ....domain.meter import MeterQuery
from ..engine.statement import RawScan
from ..rollups.definition import ReadPlan, RollupDefinition, SlotRange
from .slot_queries import SlotStatement


class UniqueQuery(SlotStatement):
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
        within += self._where_any(definition.where)
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


class RolledUpValues(SlotStatement):
    """Selects some values of a UNIQUE_COUNT from the rollups. Its rows: value, first slot, last slot."""

    def __init__(self, query: MeterQuery, definition: RollupDefinition, values: Sequence[str]):
        super().__init__(query)
        keys = self._parameter("Array(String)", values)
        self.sql = (
            "SELECT key, min(first), max(last) FROM rollups"
            f" WHERE {self._rows_of([definition])} AND width = 0 AND key IN {keys} GROUP BY key"
        )


class ValuesInSlots(SlotStatement):
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


class _Values(SlotStatement):
    """Selects the values of a UNIQUE_COUNT from rollups and events: of groups, of filtered events, of several
    organizations. A value may be there more than once."""

    def __init__(
        self,
        query: MeterQuery,
        definitions: Sequence[RollupDefinition],
        plan: ReadPlan,
        scans: Sequence[RawScan],
        *,
        corrected: bool,
    ):
        """Without `definitions` the scans have all of it."""
        super().__init__(query, corrected=corrected)
        [meter] = query.meters
        self._groups = [f"g{n}" for n in range(len(query.group_by))]
        sources = [source for each in definitions for source in self._of_slots(each, plan)]
        text, of_type = self._text(meter.texts[0]), f"type = {self._parameter('String', meter.event_type)}"
        within = self._time_conditions("time", query.edges[0], query.edges[-1])
        within += self._where_any(meter.where)
        columns = [f"{self._group(path)} AS g{n}" for n, path in enumerate(query.group_by)]
        for scan in scans:
            conditions = [*self._events(scan), of_type, *within, *self._kept(self._group), "value != ''"]
            window = self._window("toUnixTimestamp64Micro(time)")
            sources.append(
                f"SELECT {', '.join([f'{window} AS window', *columns, f'{text} AS value'])}"
                f" FROM events WHERE {' AND '.join(conditions)}"
            )
        self._source = " UNION ALL ".join(sources)
        self.sql = self._select()

    def _select(self) -> str:
        """The statement over the values, `_source`."""
        raise NotImplementedError

    def _of_slots(self, definition: RollupDefinition, plan: ReadPlan) -> Iterator[str]:
        """Each value is in its first slot; one that is in others too has a row for each of them."""
        rows, kept = self._rows_of([definition]), self._kept(self._key)
        groups = [f"{self._key(path)} AS g{n}" for n, path in enumerate(self._query.group_by)]

        def select(slot: str, *conditions: str) -> str:
            columns = ", ".join([f"{self._window_of(slot)} AS window", *groups, "key AS value"])
            return f"SELECT {columns} FROM rollups WHERE {' AND '.join([rows, *kept, *conditions])}"

        apart = self._slot_pairs(plan.slots_apart) if plan.slots_apart else ""
        first = "toUInt32(first)"
        clean = [f"(organization, {first}) NOT IN {apart}"] if apart else []
        yield select(first, "width = 0", f"({self._whole(first, plan.slot_ranges)})", *clean)
        in_slots = self._in_slot_ranges(plan.slot_ranges, plan.slots_apart) or "0"
        yield select("slot", "key != ''", f"({in_slots})")


class ValuesQuery(_Values):
    """Counts the different values. Its rows: window, a text per group, values."""

    def _select(self) -> str:
        columns = ", ".join(["window", *self._groups])
        return f"SELECT {columns}, uniqExact(value) FROM ({self._source}) GROUP BY {columns}{self._limit()}"


class DifferentValues(_Values):
    """Selects the different values. Its rows: window, a text per group, values. With more values than the query may
    have there is one too many among all."""

    def _select(self) -> str:
        columns, source = ", ".join(["window", *self._groups]), self._source
        if (most := self._query.most_values) is not None:
            limit = self._parameter("UInt64", most + 1)
            source = f"SELECT DISTINCT {columns}, value FROM ({source}) LIMIT {limit}"
        return f"SELECT {columns}, groupUniqArray(value) FROM ({source}) GROUP BY {columns}{self._limit()}"


class RankedValuesQuery(_Values):
    """Selects the groups with most values, among equals by name. Its rows: a text per group, how many values it has,
    the number of all groups."""

    def __init__(
        self,
        query: MeterQuery,
        count: int,
        definitions: Sequence[RollupDefinition],
        plan: ReadPlan,
        scans: Sequence[RawScan],
        *,
        corrected: bool,
    ):
        self._count = count
        super().__init__(query, definitions, plan, scans, corrected=corrected)

    def _select(self) -> str:
        groups = ", ".join(self._groups)
        return (
            f"SELECT {groups}, values, groups FROM ("
            f"SELECT {groups}, uniqExact(value) AS values, count() OVER () AS groups FROM ({self._source})"
            f" GROUP BY {groups} ORDER BY values DESC, {groups} LIMIT {self._parameter('UInt64', self._count)})"
        )

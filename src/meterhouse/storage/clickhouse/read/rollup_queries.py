"""Statements that add up rollups, and the events that the rollups lack."""

from __future__ import annotations

from collections.abc import Sequence

from ....domain.meter import Aggregation, MeterQuery
from ..engine.statement import NOT_SYSTEM, RawScan, Statement, latest_terms
from ..rollups.definition import Kind, ReadPlan, RollupDefinition
from ..rollups.materialize_queries import COLUMNS
from .slot_queries import SlotStatement


class RollupQuery(SlotStatement):
    """Selects the slot ranges of a query. Its rows: definition, window, a text per group, events, and for each of
    `kinds` the terms of the value, as in `MeasureQuery`."""

    def __init__(self, query: MeterQuery, definitions: Sequence[RollupDefinition], plan: ReadPlan):
        super().__init__(query)
        self.kinds = list(dict.fromkeys(each.kind for each in definitions))
        groups = [self._key(path) for path in query.group_by]
        columns = ["series", f"{self._window_of('slot')} AS window", *groups, "sum(events)"]
        columns += [f"[{', '.join(_terms(kind))}]" for kind in self.kinds]
        conditions = [
            self._rows_of(definitions),
            f"({self._in_slot_ranges(plan.slot_ranges, plan.slots_apart)})",
            *self._kept(self._key),
        ]
        self.sql = (
            f"SELECT {', '.join(columns)} FROM rollups WHERE {' AND '.join(conditions)}"
            f" GROUP BY {', '.join(['series', 'window', *groups])}{self._limit(len(definitions))}"
        )


def _terms(kind: Kind) -> list[str]:
    if kind is Kind.COUNT:
        return ["toString(sum(events))"]
    if kind is Kind.LATEST:
        return latest_terms("max(latest)")
    return [f"toString({kind.lower()}({COLUMNS[kind]}))"]


class TopQuery(SlotStatement):
    """Selects the groups with most of the first meter, among equals most of the second and so on, then by name. The
    engine adds up every group, and only the groups asked for leave it. The meters are COUNT, SUM, MIN and MAX, in one
    window; `definitions` has those of each meter, `scans` the events that the slots lack. Its rows: a text per group,
    each meter's value as text, and the number of all groups."""

    def __init__(
        self,
        query: MeterQuery,
        count: int,
        definitions: Sequence[Sequence[RollupDefinition]],
        plan: ReadPlan,
        scans: Sequence[RawScan],
        *,
        corrected: bool,
    ):
        super().__init__(query, one_window=True, corrected=corrected)
        meters = range(len(query.meters))
        sources = [
            self._of_slots(number, each, plan) for number in meters for each in definitions[number] if plan.slot_ranges
        ]
        sources += [source for scan in scans for number in meters for source in self._of_events(number, scan)]
        groups = [f"g{n}" for n in range(len(query.group_by))]
        values = [
            f"{_MERGED[meter.aggregation]}, meter = {number}) AS m{number}" for number, meter in enumerate(query.meters)
        ]
        order = ", ".join([*(f"m{number} DESC" for number in meters), *groups])
        self.sql = (
            f"SELECT {', '.join([*groups, *(f'toString(m{number})' for number in meters), 'groups'])} FROM ("
            f"SELECT {', '.join([*groups, *values])}, count() OVER () AS groups FROM ({' UNION ALL '.join(sources)})"
            f" GROUP BY {', '.join(groups)} HAVING sum(events) > 0"
            f" ORDER BY {order} LIMIT {self._parameter('UInt64', count)})"
        )

    def _of_slots(self, number: int, definition: RollupDefinition, plan: ReadPlan) -> str:
        columns = [f"{self._key(path)} AS g{n}" for n, path in enumerate(self._query.group_by)]
        conditions = [
            self._rows_of([definition]),
            f"({self._in_slot_ranges(plan.slot_ranges, plan.slots_apart)})",
            *self._kept(self._key),
        ]
        return (
            f"SELECT {', '.join(columns)}, {number} AS meter, {COLUMNS.get(definition.kind, 'total')} AS value, events"
            f" FROM rollups WHERE {' AND '.join(conditions)}"
        )

    def _of_events(self, number: int, scan: RawScan) -> list[str]:
        meter = self._query.meters[number]
        columns = [f"{self._group(path)} AS g{n}" for n, path in enumerate(self._query.group_by)]
        conditions = [
            *self._events(scan),
            *self._kept(self._group),
            f"type = {self._parameter('String', meter.event_type)}",
            *self._time_conditions("time", self._query.edges[0], self._query.edges[-1]),
            *self._where_any(meter.where),
            *self._has(meter.required_numbers),
        ]
        return [
            f"SELECT {', '.join(columns)}, {number} AS meter, {self._number(name)} AS value, toInt64(1) AS events"
            f" FROM events WHERE {' AND '.join(conditions)}"
            for name in meter.numbers or ("",)  # of a COUNT the events alone matter
        ]


_MERGED = {
    Aggregation.COUNT: "sumIf(events",
    Aggregation.SUM: "sumIf(value",
    Aggregation.MIN: "minIf(value",
    Aggregation.MAX: "maxIf(value",
}


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

"""Statements that measure events."""

from __future__ import annotations

from collections.abc import Callable

from ....domain.meter import BY_ORGANIZATION, Aggregation, Meter, MeterQuery, StateWindow
from ....domain.period import FIRST_INSTANT
from ..corrections.correction_queries import CorrectedStatement
from ..engine.instants import micros
from ..engine.statement import ALL, RawScan, latest_terms

EVENTS_AND_DRAFTS = "(SELECT * FROM events UNION ALL SELECT * FROM drafts)"


_FUNCTIONS = {
    Aggregation.COUNT: "count",
    Aggregation.MIN: "min",
    Aggregation.MAX: "max",
    Aggregation.LATEST: "latest",
}


class MeterStatement(CorrectedStatement):
    """What all statements for a `MeterQuery` share."""

    def __init__(self, query: MeterQuery, *, one_window: bool, corrected: bool, table: str = "events"):
        """`corrected` says that some of the organization's events may be voided."""
        super().__init__()
        self._query = query
        self._table = table
        self._corrected = corrected
        self._one_window = one_window
        edges = [0] if one_window else [micros(edge or FIRST_INSTANT) for edge in query.edges[:-1]]
        self.windows = {edge: window for window, edge in enumerate(edges)}
        """What the first column of a row says → index of the window."""

    def _events(self, scan: RawScan) -> list[str]:
        """The conditions on events, but for their types and windows."""
        query = self._query
        conditions = [
            f"namespace = {self._parameter('String', query.namespace)}",
            *self._of_organization(),
            f"commit <= {self._parameter('UInt64', query.as_of_commit)}",
        ]
        if self._corrected:
            conditions.append(self._not_voided(self._table, query.namespace, query.organization, query.as_of_commit))
        return conditions + self._scan_conditions(scan)

    def _of_organization(self) -> list[str]:
        organization = self._query.organization
        return [] if organization is None else [f"organization = {self._parameter('String', organization)}"]

    def _group(self, path: str) -> str:
        """The text by which an event is grouped."""
        return "organization" if path == BY_ORGANIZATION else self._text(path)

    def _kept(self, column: Callable[[str], str]) -> list[str]:
        """The conditions of filters and sets of groups; `column` names the text of a path."""
        conditions = [
            f"{column(path)} IN {self._parameter('Array(String)', texts)}" for path, texts in self._query.filters
        ]
        for groups, negation in ((self._query.only, ""), (self._query.without, "NOT ")):
            if groups is None:
                continue
            if not groups.groups:  # which no group is in
                conditions.append("1" if negation else "0")
                continue
            columns = ", ".join(map(column, groups.by))
            lists = [self._parameter("Array(String)", texts) for texts in zip(*groups.groups, strict=True)]
            among = f"arrayZip({', '.join(lists)})" if len(lists) > 1 else lists[0]
            conditions.append(f"({columns}) {negation}IN {among}")
        return conditions

    def _limit(self, rows_per_cell: int = 1) -> str:
        """Bounds the rows to those of one group more than the query may have."""
        if self._query.most_groups is None:
            return ""
        rows = (self._query.most_groups + 1) * len(self.windows) * rows_per_cell
        return f" LIMIT {self._parameter('UInt64', rows)}"

    def _inside(self, microseconds: str) -> str:
        """Whether an instant is in any of the windows."""
        sides = zip((self._query.edges[0], self._query.edges[-1]), (">=", "<"), strict=True)
        bounds = [f"{microseconds} {sign} {self._parameter('Int64', micros(edge))}" for edge, sign in sides if edge]
        return " AND ".join(bounds) or "1"

    def _window(self, microseconds: str) -> str:
        """The edge that the instant's window begins with, found by a binary search among the edges."""
        if self._one_window:
            return "0"
        return f"roundDown({microseconds}, {self._parameter('Array(Int64)', [*self.windows])})"


class MeasureQuery(MeterStatement):
    """Measures single events. Its rows: window, a text per group, and for each meter the terms of its value and the
    number of its events. The window is the edge that it begins with, in microseconds, or 0 where there is only one.
    Terms are texts that `PartialAggregates` adds up: the slim build of the engine sums a column of 256-bit decimals,
    but cannot add two of them."""

    def __init__(self, query: MeterQuery, scan: RawScan = ALL, *, corrected: bool, table: str = "events"):
        super().__init__(query, one_window=len(query.edges) == 2, corrected=corrected, table=table)
        types = sorted({meter.event_type for meter in query.meters})
        allowed = ", ".join(self._parameter("String", event_type) for event_type in types)
        conditions = [
            *self._events(scan),
            *self._kept(self._group),
            f"type IN ({allowed})",
            *self._time_conditions("time", query.edges[0], query.edges[-1]),
        ]
        columns = [
            f"{self._window('toUnixTimestamp64Micro(time)')} AS window",
            *(f"{self._group(path)} AS g{n}" for n, path in enumerate(query.group_by)),
        ]
        keys = ", ".join(["window", *(f"g{n}" for n in range(len(query.group_by)))])
        for meter in query.meters:
            columns += self._value(meter)
        self.sql = (
            f"SELECT {', '.join(columns)} FROM {table} WHERE {' AND '.join(conditions)} GROUP BY {keys}{self._limit()}"
        )

    def _value(self, meter: Meter) -> tuple[str, str]:
        """The terms of the meter's aggregate, and how many events it had."""
        of_type = f"type = {self._parameter('String', meter.event_type)}"
        if meter.aggregation is Aggregation.UNIQUE_COUNT:
            [text] = map(self._text, meter.texts)
            measured = " AND ".join([of_type, *self._where_any(meter.where), f"{text} != ''"])
            return f"[toString(uniqExactIf({text}, {measured}))]", f"countIf({measured})"
        measured = " AND ".join([of_type, *self._where_any(meter.where), *self._has(meter.required_numbers)])
        function = _FUNCTIONS.get(meter.aggregation, "sum")
        aggregates = [self._aggregate(function, value, measured) for value in meter.numbers or ("",)]
        terms = latest_terms(aggregates[0]) if function == "latest" else [f"toString({each})" for each in aggregates]
        return f"[{', '.join(terms)}]", f"countIf({measured})"


class StateQuery(MeterStatement):
    """Counts the entities of a STATE_COUNT. Its rows: window, a text per group, state, entities. Filters and groups go
    by what the entity said last; an entity is its organization's own."""

    def __init__(self, query: MeterQuery, *, corrected: bool, table: str = "events"):
        [meter] = query.meters
        when, now = moment_of(query)
        super().__init__(query, one_window=len(query.edges) == 2 or now, corrected=corrected, table=table)
        texts = {path: f"s{n}.4" for n, path in enumerate(query.properties)} | {BY_ORGANIZATION: "organization"}
        groups = {f"g{n}": texts[path] for n, path in enumerate(query.group_by)}
        columns = [f"{self._window(when)} AS window", *(f"{text} AS {name}" for name, text in groups.items())]
        conditions = [*self._events(ALL), *self._with_state(meter.event_type, meter.entity, meter.state)]
        kept = [self._inside(when) if not now else "1", *self._kept(texts.__getitem__)]
        self.sql = (
            f"SELECT {', '.join(columns)}, latest.4 AS state, count() FROM ("
            f"SELECT organization, {self._state_columns(meter.entity, meter.state, query.properties)}"
            f" FROM {table} WHERE {' AND '.join(conditions)} GROUP BY organization, entity)"
            f" WHERE {' AND '.join(kept)}"
            f" GROUP BY {', '.join(['window', *groups, 'state'])}"
        )


def moment_of(query: MeterQuery) -> tuple[str, bool]:
    """The moment of an entity that decides its window, as a column of `_state_columns`; and whether every entity
    counts."""
    moment = query.state_window or query.meters[0].window
    return "created" if moment is StateWindow.CREATED else "latest.1", moment is StateWindow.NOW

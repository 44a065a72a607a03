"""The SQL that reads rollups, and the events that they lack."""

from __future__ import annotations

from collections.abc import Sequence

from ...domain.meter import Aggregation, MeterQuery
from .fold_queries import COLUMNS, FIRST_MICROS, SLOT_MICROS
from .queries import NEVER_SAID, NOT_OWN, MeterStatement, Part, Statement, latest_terms, moment_of
from .series import Kind, Segment, Series


class _Reading(MeterStatement):
    """Reads whole slots."""

    def __init__(self, query: MeterQuery, *, one_window: bool = False, corrected: bool = False):
        super().__init__(query, one_window=one_window or len(query.edges) == 2, corrected=corrected)

    def _rows_of(self, series: Sequence[Series]) -> str:
        ids = self._parameter("Array(UInt64)", [each.id for each in series])
        return f"series IN {ids} AND organization = {self._parameter('String', self._query.organization)}"

    def _segments(self, segments: Sequence[Segment]) -> str:
        return " OR ".join(f"(width = {segment.width} AND {self._from_to('slot', segment)})" for segment in segments)

    def _whole(self, slot: str, segments: Sequence[Segment]) -> str:
        """Whether a slot is one of those that are read, alone or in a day."""
        return " OR ".join(f"({self._from_to(slot, segment)})" for segment in segments) or "0"

    def _from_to(self, column: str, segment: Segment) -> str:
        start, end = (self._parameter("UInt32", slot) for slot in (segment.start, segment.end))
        return f"{column} >= {start} AND {column} < {end}"

    def _window_of(self, slot: str) -> str:
        return self._window(f"(toInt64({slot}) * {SLOT_MICROS} + {FIRST_MICROS})")


class RollupQuery(_Reading):
    """The whole slots of a question about single events. Its rows: series, window, group, events, and for each of
    `kinds` the terms of the value, as in `MeasureQuery`."""

    def __init__(self, query: MeterQuery, series: Sequence[Series], segments: Sequence[Segment]):
        super().__init__(query)
        self.kinds = list(dict.fromkeys(each.kind for each in series))
        keys = ["series", "window", *(["key"] if query.group_by else [])]
        columns = ["series", f"{self._window_of('slot')} AS window", "key" if query.group_by else "''", "sum(events)"]
        columns += [f"[{', '.join(_terms(kind))}]" for kind in self.kinds]
        conditions = [self._rows_of(series), f"({self._segments(segments)})"]
        conditions += [f"key = {self._parameter('String', text)}" for _, text in query.filters]
        self.sql = (
            f"SELECT {', '.join(columns)} FROM rollups WHERE {' AND '.join(conditions)} GROUP BY {', '.join(keys)}"
            f"{self._limit(len(series))}"
        )


def _terms(kind: Kind) -> list[str]:
    if kind is Kind.COUNT:
        return ["toString(sum(events))"]
    if kind is Kind.LATEST:
        return latest_terms("max(latest)")
    return [f"toString({kind.lower()}({COLUMNS[kind]}))"]


class TopQuery(_Reading):
    """The groups that have most of the first meter, among equals most of the second and so on, then by name. All of
    them are added up in the engine, and only as many as are asked for leave it.

    The meters are COUNT and SUM, in one window; `series` has those of each meter, and `parts` the events that whole
    slots lack. Its rows: group, and each meter's value as text.
    """

    def __init__(
        self,
        query: MeterQuery,
        count: int,
        series: Sequence[Sequence[Series]],
        segments: Sequence[Segment],
        parts: Sequence[Part],
        *,
        corrected: bool,
    ):
        super().__init__(query, one_window=True, corrected=corrected)
        meters = range(len(query.meters))
        sources = [self._of_slots(number, each, segments) for number in meters for each in series[number] if segments]
        sources += [source for part in parts for number in meters for source in self._of_events(number, part)]
        counts = [meter.aggregation is Aggregation.COUNT for meter in query.meters]
        columns = ["events" if counts[number] else "value" for number in meters]
        sums = ", ".join(f"sumIf({columns[number]}, meter = {number}) AS m{number}" for number in meters)
        order = ", ".join([*(f"m{number} DESC" for number in meters), "text"])
        self.sql = (
            f"SELECT text, {', '.join(f'toString(m{number})' for number in meters)} FROM ("
            f"SELECT text, {sums} FROM ({' UNION ALL '.join(sources)}) GROUP BY text HAVING sum(events) > 0"
            f" ORDER BY {order} LIMIT {self._parameter('UInt32', count)})"
        )

    def _of_slots(self, number: int, series: Series, segments: Sequence[Segment]) -> str:
        return (
            f"SELECT key AS text, {number} AS meter, total AS value, events FROM rollups"
            f" WHERE {self._rows_of([series])} AND ({self._segments(segments)})"
        )

    def _of_events(self, number: int, part: Part) -> list[str]:
        meter, [path] = self._query.meters[number], self._query.group_by
        conditions = [
            *self._events(part),
            f"type = {self._parameter('String', meter.event_type)}",
            *self._time_conditions("time", self._query.edges[0], self._query.edges[-1]),
            *([] if meter.optional else self._has(meter.values)),
        ]
        return [
            f"SELECT {self._text(path)} AS text, {number} AS meter, {self._number(name)} AS value, toInt64(1) AS events"
            f" FROM events WHERE {' AND '.join(conditions)}"
            for name in meter.values or ("",)  # of a COUNT the events alone matter
        ]


class UniqueQuery(_Reading):
    """The number of different values in each window: those of whole slots, and those of the events in `parts`, which
    the slots lack, as far as they are not counted there. Its rows: window, values."""

    def __init__(
        self,
        query: MeterQuery,
        series: Series,
        segments: Sequence[Segment],
        parts: Sequence[Part],
        *,
        corrected: bool,
    ):
        super().__init__(query, corrected=corrected)
        text, of_type = self._text(series.value), f"type = {self._parameter('String', series.event_type)}"
        within = self._time_conditions("time", query.edges[0], query.edges[-1])
        slots = f"SELECT {self._window_of('slot')} AS window, key AS value, events FROM rollups WHERE"
        sources = [f"{slots} {self._rows_of([series])} AND ({self._segments(segments) or '0'})"]
        for part in parts:
            events = (
                f"SELECT {self._window('toUnixTimestamp64Micro(time)')} AS window, {text} AS value FROM events"
                f" WHERE {' AND '.join([*self._events(part), of_type, *within])} AND value != ''"
            )
            if part.within:  # they are folded: whatever is in a cut slot is alone in no other
                sources.append(f"SELECT window, value, 0 AS events FROM ({events})")
                continue
            counted = (
                f"SELECT {self._window_of('place')} AS window, key"
                " FROM (SELECT key, min(first) AS place, max(last) AS other FROM rollups"
                f" WHERE {self._rows_of([series])} AND width = 0 AND key IN (SELECT value FROM ({events}))"
                f" GROUP BY key) WHERE place = other AND ({self._whole('place', segments)})"
            )
            sources.append(
                f"SELECT window, value, 0 AS events FROM ({events}) WHERE (window, value) NOT IN ({counted})"
            )
        self.sql = (
            "SELECT window, sum(events) + uniqExactIf(value, value != '')"
            f" FROM ({' UNION ALL '.join(sources)}) GROUP BY window"
        )


class FoldedValues(_Reading):
    """Some values of a UNIQUE_COUNT as they are folded. Rows: value, its first slot, its last slot."""

    def __init__(self, query: MeterQuery, series: Series, values: Sequence[str]):
        super().__init__(query)
        keys = self._parameter("Array(String)", values)
        self.sql = (
            "SELECT key, min(first), max(last) FROM rollups"
            f" WHERE {self._rows_of([series])} AND width = 0 AND key IN {keys} GROUP BY key"
        )


class ValuesInSlots(_Reading):
    """In which windows some values are that are in more than one slot. Rows: window, value."""

    def __init__(self, query: MeterQuery, series: Series, segments: Sequence[Segment], values: Sequence[str]):
        super().__init__(query)
        keys = self._parameter("Array(String)", values)
        self.sql = (
            f"SELECT DISTINCT {self._window_of('slot')} AS window, key FROM rollups"
            f" WHERE {self._rows_of([series])} AND ({self._segments(segments) or '0'}) AND key IN {keys}"
        )


class CountedStates(_Reading):
    """The entities of a STATE_COUNT by state, as they are counted in whole slots. Rows as in `StateQuery`."""

    def __init__(self, query: MeterQuery, series: Series, segments: Sequence[Segment]):
        when, now = moment_of(query)
        super().__init__(query, one_window=now)
        group = query.group_by[0] if query.group_by else ""
        counts = series.counting(Kind.CREATED if when == "created" else Kind.CHANGED, group)
        columns = [f"{self._window_of('slot')} AS window", *(["key"] if group else []), "state"]
        self.sql = (
            f"SELECT {', '.join(columns)}, sum(events) AS count FROM rollups"
            f" WHERE {self._rows_of([counts])} AND ({self._segments(segments) or '0'})"
            f" GROUP BY window{', key' if group else ''}, state HAVING count != 0"
        )


class FreshEntities(MeterStatement):
    """The entities that the events in `parts` are about, which whole slots lack. Rows: entity, and what the events say
    that came after the rollup, as `partials.Entity` has it."""

    def __init__(self, query: MeterQuery, series: Series, parts: Sequence[Part]):
        super().__init__(query, one_window=True, corrected=False)
        found = " UNION ALL ".join(self._of_events(series, part) for part in parts)
        self.sql = f"SELECT entity, max(latest), min(created), max(s0) FROM ({found}) GROUP BY entity"

    def _of_events(self, series: Series, part: Part) -> str:
        conditions = [*self._events(part), *self._with_state(series.event_type, series.entity, series.state)]
        where = f"FROM events WHERE {' AND '.join(conditions)} GROUP BY entity"
        if part.within:
            entity = self._text(series.entity)
            return f"SELECT {entity} AS entity, {NEVER_SAID} AS latest, {_NEVER} AS created, {NEVER_SAID} AS s0 {where}"
        columns = self._state_columns(series.entity, series.state, self._query.group_by)
        return f"SELECT {columns}{'' if self._query.group_by else f', {NEVER_SAID} AS s0'} {where}"


class FoldedEntities(_Reading):
    """Some entities as they are folded. Rows as in `FreshEntities`."""

    def __init__(self, query: MeterQuery, series: Series, entities: Sequence[str]):
        super().__init__(query)
        keys = self._parameter("Array(String)", entities)
        self.sql = (
            f"SELECT key, max(latest), min(first), max(said) FROM rollups"
            f" WHERE {self._rows_of([series])} AND width = 0 AND key IN {keys} GROUP BY key"
        )


_NEVER = "toInt64(9223372036854775807)"


class FirstQuery(Statement):
    """The organization's first event, from its rollup and, unless that has them all, the events after a commit. One
    row: its time, how many rows it was taken from."""

    def __init__(self, series: Series, organization: str, after_commit: int | None):
        super().__init__()
        name = self._parameter("String", organization)
        rows = (
            f"SELECT first FROM rollups WHERE series = {self._parameter('UInt64', series.id)} AND organization = {name}"
        )
        if after_commit is not None:
            rows += (
                " UNION ALL SELECT toUnixTimestamp64Micro(time) FROM events"
                f" WHERE namespace = {self._parameter('String', series.namespace)} AND organization = {name}"
                f" AND commit > {self._parameter('UInt64', after_commit)} AND {NOT_OWN}"
            )
        self.sql = f"SELECT min(first), count() FROM ({rows})"

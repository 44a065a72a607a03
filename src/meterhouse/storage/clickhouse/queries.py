"""All the SQL that is spoken to ClickHouse. Names and values are parameters; nothing a user wrote stands in a text."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from ...domain.listing import EventQuery, Place
from ...domain.meter import Aggregation, Meter, MeterQuery, StateWindow
from ...domain.period import FIRST_INSTANT
from .engine import Parameter

# Sorted for the reads: an organization's events of one type lie together in time order. Not partitioned, so that one
# insert is one part and therefore atomic. `commit` and `position` order events as they were stored.
CREATE_EVENTS = """
CREATE TABLE IF NOT EXISTS events (
    namespace    LowCardinality(String),
    organization String,
    type         LowCardinality(String),
    time         DateTime64(6, 'UTC'),
    source       String CODEC(ZSTD(1)),
    id           String CODEC(ZSTD(1)),
    identity     UInt64,
    commit       UInt64 CODEC(ZSTD(1)),
    position     UInt32,
    stored_at    DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    data         String CODEC(ZSTD(1)),
    numbers      Map(LowCardinality(String), Decimal(76, 28)) CODEC(ZSTD(1)),
    INDEX identity_index identity TYPE bloom_filter(0.001) GRANULARITY 1
)
ENGINE = MergeTree ORDER BY (namespace, organization, type, time)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1
"""

LATEST_COMMIT = "SELECT max(commit) FROM events"

COUNT_EVENTS = "SELECT count() FROM events"

ALL_IDENTITIES = "SELECT identity FROM events"

# The stored events whose identity hash is one of these; the caller compares the full identities.
EVENTS_BY_IDENTITY = """
SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data
FROM events WHERE identity IN {identities:Array(UInt64)}
"""

FIRST_EVENT_AT = """
SELECT toUnixTimestamp64Micro(min(time)), count() FROM events
WHERE namespace = {namespace:String} AND organization = {organization:String}
"""

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def micros(instant: datetime) -> int:
    """Microseconds since 1970, exactly."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


def instant(microseconds: int) -> datetime:
    """The inverse of `micros`."""
    return _EPOCH + timedelta(microseconds=microseconds)


class Statement:
    """A statement under construction: every value in it becomes a parameter."""

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}

    def _text(self, path: str) -> str:
        """A property as text, as `domain.event.read_text` defines it."""
        names = [self._parameter("String", name) for name in path.split(".")]
        place = ", ".join(["data", *names])
        number = f"JSONExtractRaw({place})"
        if len(names) == 1:  # the exact digits; nested numbers have those of a double
            number = f"if(mapContains(numbers, {names[0]}), toString(numbers[{names[0]}]), '')"
        return (
            f"multiIf(JSONType({place}) = 'String', JSONExtractString({place}), "
            f"JSONType({place}) = 'Bool', JSONExtractRaw({place}), "
            f"JSONType({place}) IN ('Int64', 'UInt64', 'Double'), {number}, '')"
        )

    def _time_conditions(self, column: str, start: datetime | None, end: datetime | None) -> list[str]:
        sides = ((start, ">="), (end, "<"))
        return [f"{column} {sign} {self._instant(edge)}" for edge, sign in sides if edge is not None]

    def _instant(self, edge: datetime) -> str:
        return f"fromUnixTimestamp64Micro({self._parameter('Int64', micros(edge))}, 'UTC')"

    def _parameter(self, sql_type: str, value: str | int | Sequence[int]) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{sql_type}}}"


class MeasureQuery(Statement):
    """The statement for one `MeterQuery`. Its rows: window, a text per group, terms and events per meter, state.

    The window is the edge it begins with, in microseconds, or 0 where there is only one. `terms` are texts
    whose sum is the value: the slim engine build can sum a column of 256-bit decimals, but not add two of them.
    """

    def __init__(self, query: MeterQuery):
        super().__init__()
        self._query = query
        first = query.meters[0]
        states = first.aggregation is Aggregation.STATE_COUNT
        self._moment = query.state_window or first.window
        self._one_window = len(query.edges) == 2 or (states and self._moment is StateWindow.NOW)
        edges = [0] if self._one_window else [micros(edge or FIRST_INSTANT) for edge in query.edges[:-1]]
        self.windows = {edge: window for window, edge in enumerate(edges)}
        """What the first column of a row says → index of the window."""
        self.sql = self._state_count(first) if states else self._aggregate()

    def _aggregate(self) -> str:
        """Every aggregation of single events."""
        types = sorted({meter.event_type for meter in self._query.meters})
        allowed = ", ".join(self._parameter("String", event_type) for event_type in types)
        conditions = [*self._conditions(), f"type IN ({allowed})", *self._within("time")]
        groups = self._groups()
        keys = ", ".join(["window", *(f"g{n}" for n in range(len(groups)))])
        columns = [f"{self._window('time')} AS window", *(f"{text} AS g{n}" for n, text in enumerate(groups))]
        for meter in self._query.meters:
            columns += self._value(meter)
        return f"SELECT {', '.join(columns)}, '' FROM events WHERE {' AND '.join(conditions)} GROUP BY {keys}"

    def _value(self, meter: Meter) -> tuple[str, str]:
        """The terms of the meter's aggregate, and how many events it had."""
        of_type = f"type = {self._parameter('String', meter.event_type)}"
        if meter.aggregation is Aggregation.COUNT:
            return f"[toString(countIf({of_type}))]", f"countIf({of_type})"
        if meter.aggregation is Aggregation.UNIQUE_COUNT:
            text = self._text(meter.values[0])
            said = f"{of_type} AND {text} != ''"
            return f"[toString(uniqExactIf({text}, {said}))]", f"countIf({said})"
        names = [self._parameter("String", name) for name in meter.values]
        needed = [] if meter.optional else [f"mapContains(numbers, {name})" for name in names]
        measured = " AND ".join([of_type, *needed])
        if meter.aggregation in (Aggregation.SUM, Aggregation.AVG):
            terms = [f"toString(sumIf(numbers[{name}], {measured}))" for name in names]
            return f"[{', '.join(terms)}]", f"countIf({measured})"
        number = f"numbers[{names[0]}]"
        if meter.aggregation is Aggregation.LATEST:
            value = f"argMaxIf({number}, (time, commit, position), {measured})"
        else:
            value = f"{'min' if meter.aggregation is Aggregation.MIN else 'max'}If({number}, {measured})"
        return f"[toString({value})]", f"countIf({measured})"

    def _state_count(self, meter: Meter) -> str:
        """Entities by the state of their latest event."""
        conditions = [*self._conditions(), f"type = {self._parameter('String', meter.event_type)}"]
        entity, state = self._text(meter.entity), self._text(meter.state)
        conditions += [f"{entity} != ''", f"{state} != ''"]
        moment = {"changed": "max(time)", "created": "min(time)", "now": "max(time)"}
        groups = self._groups()
        order = "(time, commit, position)"
        latest = "".join(f", argMaxIf({text}, {order}, {text} != '') AS l{n}" for n, text in enumerate(groups))
        keys = ", ".join(["window", *(f"g{n}" for n in range(len(groups))), "state"])
        within = [] if self._moment is StateWindow.NOW else self._within("moment")
        columns = [f"{self._window('moment')} AS window", *(f"l{n} AS g{n}" for n in range(len(groups)))]
        return (
            f"SELECT {', '.join(columns)}, [toString(count())], count(), state FROM ("
            f"SELECT argMax({state}, {order}) AS state, {moment[self._moment]} AS moment{latest} "
            f"FROM events WHERE {' AND '.join(conditions)} GROUP BY {entity})"
            f" WHERE {' AND '.join(within) or '1'} GROUP BY {keys}"
        )

    def _conditions(self) -> list[str]:
        query = self._query
        conditions = [
            f"namespace = {self._parameter('String', query.namespace)}",
            f"organization = {self._parameter('String', query.organization)}",
            f"commit <= {self._parameter('UInt64', query.as_of_commit)}",
        ]
        for name, text in query.filters:
            conditions.append(f"{self._text(name)} = {self._parameter('String', text)}")
        return conditions

    def _within(self, column: str) -> list[str]:
        return self._time_conditions(column, self._query.edges[0], self._query.edges[-1])

    def _window(self, column: str) -> str:
        """The edge that the window of the instant begins with: a search among the edges, however many there are."""
        if self._one_window:
            return "0"
        return f"roundDown(toUnixTimestamp64Micro({column}), {self._parameter('Array(Int64)', [*self.windows])})"

    def _groups(self) -> list[str]:
        return [self._text(path) for path in self._query.group_by]


class NewestQuery(Statement):
    """The statement for one `EventQuery`. Its rows: source, id, time, data, commit, position."""

    def __init__(self, query: EventQuery):
        super().__init__()
        conditions = [
            f"namespace = {self._parameter('String', query.namespace)}",
            f"organization = {self._parameter('String', query.organization)}",
            f"type = {self._parameter('String', query.event_type)}",
            f"commit <= {self._parameter('UInt64', query.as_of_commit)}",
            *self._time_conditions("time", query.start, query.end),
        ]
        for path, texts in query.filters.items():
            allowed = ", ".join(self._parameter("String", text) for text in texts)
            conditions.append(f"{self._text(path)} IN ({allowed})")
        if query.before is not None:
            conditions.append(f"(time, commit, position) < {self._place(query.before)}")
        if query.after is not None:
            conditions.append(f"(time, commit, position) > {self._place(query.after)}")
        order = "DESC" if query.after is None else "ASC"
        self.sql = (
            "SELECT source, id, toUnixTimestamp64Micro(time), data, commit, position FROM events "
            f"WHERE {' AND '.join(conditions)} ORDER BY time {order}, commit {order}, position {order} "
            f"LIMIT {self._parameter('UInt64', query.limit)}"
        )

    def _place(self, place: Place) -> str:
        commit, position = self._parameter("UInt64", place.commit), self._parameter("UInt32", place.position)
        return f"({self._instant(place.time)}, {commit}, {position})"

"""All the SQL that is spoken to ClickHouse. Names and values are parameters; nothing a user wrote stands in a text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from ...domain.correction import ADD, CONFLICT, RESTORE, VOID
from ...domain.event import OWN
from ...domain.export import ExportForm, Selection
from ...domain.json_reading import places_of
from ...domain.listing import EventQuery, Place, Saying
from ...domain.meter import Aggregation, Meter, MeterQuery, StateWindow
from ...domain.period import FIRST_INSTANT
from .engine import Parameter

# Sorted for the reads: an organization's events of one type lie together in time order. Not partitioned, so that one
# insert is one part and therefore atomic. `commit` and `position` order events as they were stored.
# `by_identity` has for every part where its identities are. It is written, merged and checked with its part, so that it
# never disagrees. Granules and blocks are small because what it finds is single events, far apart.
CREATE_EVENTS = """
CREATE TABLE IF NOT EXISTS events (
    namespace    LowCardinality(String),
    organization String,
    type         LowCardinality(String),
    time         DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    source       String CODEC(ZSTD(1)),
    id           String CODEC(ZSTD(1)),
    identity     UInt64,
    commit       UInt64 CODEC(ZSTD(1)),
    position     UInt32 CODEC(T64, LZ4),
    stored_at    DateTime64(6, 'UTC') CODEC(ZSTD(1)),
    data         String CODEC(ZSTD(1)),
    numbers      Map(LowCardinality(String), Decimal(76, 28)) CODEC(ZSTD(1)),
    INDEX commit_index commit TYPE minmax GRANULARITY 8,
    PROJECTION by_identity INDEX identity TYPE basic
)
ENGINE = MergeTree ORDER BY (namespace, organization, type, time)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, min_compress_block_size = 16384
"""

# What both tables need besides, also those that an earlier version made. A merge or a change in place removes what it
# was made from: it is on the disk before. Broken parts never keep the engine from starting, and are never dropped: what
# is missing is told by the manifest. Indexes are read when a table is loaded, where damage makes a part a broken one;
# read later, it would end the process.
SETTINGS = {
    "fsync_after_insert": 1,
    "fsync_part_directory": 1,
    "min_rows_to_fsync_after_merge": 1,
    "max_suspicious_broken_parts": 1_000_000_000,
    "max_suspicious_broken_parts_bytes": 1_000_000_000_000_000,
    "primary_key_lazy_load": 0,
    # Parts are merged when this many of about one size have come together. By default it is 5, and all below 5 MB count
    # as of one size: a part of ten thousand events was merged again with every four small ones that came.
    "merge_selector_base": 12,
}
TABLES_WITH_SETTINGS = """
SELECT name, engine_full FROM system.tables WHERE database = currentDatabase() AND name IN ('events', 'rollups')
"""
MODIFY_SETTINGS = "ALTER TABLE {} MODIFY SETTING {}"

_STORED_EVENT = """
namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data,
commit, position, toUnixTimestamp64Micro(stored_at)
"""

INDEXES = """
SELECT name FROM system.data_skipping_indices WHERE database = currentDatabase() AND table = 'events'
UNION ALL SELECT name FROM system.projections WHERE database = currentDatabase() AND table = 'events'
"""

# For folders that were written before: new parts have the indexes, and old ones when they are merged. Dropping one
# is done in the background: it would wait for merges that are under way.
ADDED_INDEXES = {
    "commit_index": "ALTER TABLE events ADD INDEX commit_index commit TYPE minmax GRANULARITY 8",
    "by_identity": "ALTER TABLE events ADD PROJECTION by_identity INDEX identity TYPE basic",
}
DROPPED_INDEXES = {"identity_index": "ALTER TABLE events DROP INDEX identity_index SETTINGS alter_sync = 0"}

# How many parts lack the index of identities, or have it damaged: without it a part is read from end to end. The engine
# does not sync it, so that a loss of power may damage it. Making it twice is harmless.
PARTS_WITHOUT_IDENTITIES = """
SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active AND rows > 0
AND (NOT has(projections, 'by_identity') OR name IN (
    SELECT parent_name FROM system.projection_parts
    WHERE database = currentDatabase() AND table = 'events' AND active AND is_broken
))
"""
CLEAR_IDENTITIES_AND_WAIT = "ALTER TABLE events CLEAR PROJECTION by_identity SETTINGS mutations_sync = 1"
CLEAR_IDENTITIES = "ALTER TABLE events CLEAR PROJECTION by_identity SETTINGS mutations_sync = 0"

INDEX_IDENTITIES = "ALTER TABLE events MATERIALIZE PROJECTION by_identity SETTINGS mutations_sync = 0"

LATEST_COMMIT = "SELECT max(commit) FROM events WHERE commit >= {commit:UInt64}"

COMMITS_SINCE = "SELECT DISTINCT commit FROM events WHERE commit >= {commit:UInt64}"

STORED_AT = "SELECT toUnixTimestamp64Micro(max(stored_at)) FROM events WHERE commit = {commit:UInt64}"

COMMIT_AT = "SELECT max(commit) FROM events WHERE stored_at <= fromUnixTimestamp64Micro({instant:Int64}, 'UTC')"

COUNT_EVENTS = "SELECT count() FROM events"

IDENTITIES_BETWEEN = "SELECT identity FROM events WHERE identity BETWEEN {first:UInt64} AND {last:UInt64}"

IDENTITIES_AFTER = "SELECT identity FROM events WHERE commit > {commit:UInt64}"

# An event that corrects another has among its numbers where that one stands and its time, as the store found them.
CORRECTED_TIMES = f"""
SELECT namespace, organization, groupUniqArray(toInt64(toString(numbers['time']))) FROM events
WHERE commit > {{commit:UInt64}} AND type IN ('{VOID}', '{RESTORE}') GROUP BY namespace, organization
"""

EVENTS_ABOUT = f"""
SELECT {_STORED_EVENT}
FROM events WHERE namespace = {{namespace:String}} AND organization = {{organization:String}}
    AND type IN ('{VOID}', '{RESTORE}', '{ADD}', '{CONFLICT}')
    AND JSONExtractString(data, 'source') = {{source:String}} AND JSONExtractString(data, 'id') = {{id:String}}
ORDER BY commit, position
"""

VOIDED = f"""
SELECT toUInt64(toString(numbers['commit'])) AS of_commit, toUInt32(toString(numbers['position'])) AS at_position
FROM events WHERE namespace = {{namespace:String}} AND type IN ('{VOID}', '{RESTORE}')
    AND (of_commit, at_position) IN {{places:Array(Tuple(UInt64, UInt32))}}
GROUP BY of_commit, at_position HAVING argMax(type, (commit, position)) = '{VOID}'
"""

# Events that are not stored, to see what would become of answers: as if they were the last of a commit.
REPLACE_DRAFTS = "CREATE OR REPLACE TABLE drafts AS events ENGINE = Memory"
DROP_DRAFTS = "DROP TABLE drafts"
EVENTS_AND_DRAFTS = "(SELECT * FROM events UNION ALL SELECT * FROM drafts)"

NOT_OWN = f"NOT startsWith(type, '{OWN}')"

# How many events a commit has, and the sums of their identities and of when they were stored, modulo 2 ** 64.
COMMIT_MARK = """
SELECT count(), sum(identity), toUInt64(sum(toUInt64(toUnixTimestamp64Micro(stored_at))))
FROM events WHERE commit = {commit:UInt64}
"""

# The stored events whose identity hash is one of these; the caller compares the full identities.
_BY_IDENTITY = f"SELECT {_STORED_EVENT} FROM events WHERE identity IN {{identities:Array(UInt64)}}"
EVENTS_BY_IDENTITY = f"""
{_BY_IDENTITY} SETTINGS min_table_rows_to_use_projection_index = 0,
    max_projection_rows_to_use_projection_index = 1000000000000, use_query_condition_cache = 0
"""
EVENTS_BY_IDENTITY_WITHOUT_INDEX = f"{_BY_IDENTITY} SETTINGS optimize_use_projections = 0"

_EPOCH = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


def micros(instant: datetime) -> int:
    """Microseconds since 1970, exactly."""
    since = instant - _EPOCH
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def instant(microseconds: int) -> datetime:
    """The inverse of `micros`."""
    return _EPOCH + timedelta(microseconds=microseconds)


@dataclass(frozen=True, slots=True)
class Part:
    """Which of the events of a question are read: those stored after a commit, or those up to it in some pieces of
    time."""

    commit: int = 0
    within: tuple[tuple[datetime, datetime], ...] = ()


def said(text: str) -> str:
    """What an event says, beside its place among all events: of several the greatest is the latest."""
    return f"(toUnixTimestamp64Micro(time), commit, position, {text})"


def latest_terms(newest: str) -> list[str]:
    """The parts of what `said` made, as texts."""
    return [f"toString(({newest}).{place})" for place in (1, 2, 3)] + [f"({newest}).4"]


ALL = Part()
_LATEST = (1 << 64) - 1
NEVER_SAID_IS = [micros(FIRST_INSTANT) - 1, 0, 0, ""]
"""Before anything that `said` can make."""
NEVER_SAID = f"(toInt64({NEVER_SAID_IS[0]}), toUInt64(0), toUInt32(0), '')"


class Statement:
    """A statement under construction: every value in it becomes a parameter."""

    sql: str

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}

    def _text(self, path: str) -> str:
        """A property as text, as `domain.json_reading.read_text` defines it."""
        *others, last = places_of(path)
        cases = [f"JSONHas({self._place_in_data(place)}), {self._text_at(place, path)}" for place in others]
        return f"multiIf({', '.join([*cases, self._text_at(last, path)])})" if cases else self._text_at(last, path)

    def _text_at(self, names: Sequence[str], path: str) -> str:
        """The text at one of the places that a path may lead to. Its exact digits are among the event's numbers; those
        of an integer in an object are also in its data, which is all that events of earlier versions have."""
        place = self._place_in_data(names)
        number = self._parameter("String", path)
        otherwise = f"if(JSONType({place}) != 'Double', JSONExtractRaw({place}), '')" if len(names) > 1 else "''"
        return (
            f"multiIf(JSONType({place}) = 'String', JSONExtractString({place}), "
            f"JSONType({place}) = 'Bool', JSONExtractRaw({place}), "
            f"JSONType({place}) IN ('Int64', 'UInt64', 'Double'), "
            f"if(mapContains(numbers, {number}), toString(numbers[{number}]), {otherwise}), '')"
        )

    def _place_in_data(self, names: Sequence[str]) -> str:
        """The arguments that lead JSON functions to a value in `data`."""
        return ", ".join(["data", *(self._parameter("String", name) for name in names)])

    def _number(self, name: str) -> str:
        """A quantity by its path; 0 where there is none."""
        return f"numbers[{self._parameter('String', name)}]"

    def _has(self, names: Sequence[str]) -> list[str]:
        return [f"mapContains(numbers, {self._parameter('String', name)})" for name in names]

    def _time_conditions(self, column: str, start: datetime | None, end: datetime | None) -> list[str]:
        sides = ((start, ">="), (end, "<"))
        return [f"{column} {sign} {self._instant(edge)}" for edge, sign in sides if edge is not None]

    def _with_state(self, event_type: str, entity: str, state: str) -> list[str]:
        """Which events tell the state of an entity."""
        of_type = f"type = {self._parameter('String', event_type)}"
        return [of_type, f"{self._text(entity)} != ''", f"{self._text(state)} != ''"]

    def _state_columns(self, entity: str, state: str, groups: Sequence[str]) -> str:
        """For each entity its latest state, its first event, and for each group what its events said last."""
        texts = [self._text(path) for path in groups]
        return ", ".join(
            [
                f"{self._text(entity)} AS entity",
                f"max({said(self._text(state))}) AS latest",
                "min(toUnixTimestamp64Micro(time)) AS created",
                *(f"max(if({text} != '', {said(text)}, {NEVER_SAID})) AS s{n}" for n, text in enumerate(texts)),
            ]
        )

    def _part_conditions(self, part: Part) -> list[str]:
        if not part.commit:
            return []
        commit = self._parameter("UInt64", part.commit)
        if not part.within:
            return [f"commit > {commit}"]
        pieces = (" AND ".join(self._time_conditions("time", start, end)) for start, end in part.within)
        return [f"commit <= {commit}", f"({' OR '.join(pieces)})"]

    def _not_voided(self, table: str, namespace: str, organization: str, as_of_commit: int) -> str:
        """Leaves out what the latest word on it says does not count."""
        return (
            "(commit, position) NOT IN ("
            "SELECT toUInt64(toString(numbers['commit'])), toUInt32(toString(numbers['position']))"
            f" FROM {table} WHERE namespace = {self._parameter('String', namespace)}"
            f" AND organization = {self._parameter('String', organization)} AND type IN ('{VOID}', '{RESTORE}')"
            f" AND commit <= {self._parameter('UInt64', as_of_commit)}"
            f" GROUP BY 1, 2 HAVING argMax(type, (commit, position)) = '{VOID}')"
        )

    def _instant(self, edge: datetime) -> str:
        return f"fromUnixTimestamp64Micro({self._parameter('Int64', micros(edge))}, 'UTC')"

    def _parameter(self, sql_type: str, value: Parameter) -> str:
        name = f"p{len(self.parameters)}"
        self.parameters[name] = value
        return f"{{{name}:{sql_type}}}"


class MeterStatement(Statement):
    """What the statements for a `MeterQuery` have in common."""

    def __init__(self, query: MeterQuery, *, one_window: bool, corrected: bool, table: str = "events"):
        """`corrected` says that some events of the organization may not count any more."""
        super().__init__()
        self._query = query
        self._table = table
        self._corrected = corrected
        self._one_window = one_window
        edges = [0] if one_window else [micros(edge or FIRST_INSTANT) for edge in query.edges[:-1]]
        self.windows = {edge: window for window, edge in enumerate(edges)}
        """What the first column of a row says → index of the window."""

    def _events(self, part: Part) -> list[str]:
        """The conditions on events, but for their types and windows."""
        query = self._query
        conditions = [
            f"namespace = {self._parameter('String', query.namespace)}",
            f"organization = {self._parameter('String', query.organization)}",
            f"commit <= {self._parameter('UInt64', query.as_of_commit)}",
        ]
        for name, text in query.filters:
            conditions.append(f"{self._text(name)} = {self._parameter('String', text)}")
        if self._corrected:
            conditions.append(self._not_voided(self._table, query.namespace, query.organization, query.as_of_commit))
        return conditions + self._part_conditions(part)

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
        """The edge that the window of the instant begins with: a search among the edges, however many there are."""
        if self._one_window:
            return "0"
        return f"roundDown({microseconds}, {self._parameter('Array(Int64)', [*self.windows])})"


class MeasureQuery(MeterStatement):
    """The statement for one `MeterQuery` about single events. Its rows: window, a text per group, and for each meter
    the terms of its value and how many events it had.

    The window is the edge it begins with, in microseconds, or 0 where there is only one. `terms` are texts, of which
    `partials` makes the value: the slim engine build can sum a column of 256-bit decimals, but not add two of them.
    """

    def __init__(self, query: MeterQuery, part: Part = ALL, *, corrected: bool, table: str = "events"):
        super().__init__(query, one_window=len(query.edges) == 2, corrected=corrected, table=table)
        types = sorted({meter.event_type for meter in query.meters})
        allowed = ", ".join(self._parameter("String", event_type) for event_type in types)
        conditions = [
            *self._events(part),
            f"type IN ({allowed})",
            *self._time_conditions("time", query.edges[0], query.edges[-1]),
        ]
        columns = [
            f"{self._window('toUnixTimestamp64Micro(time)')} AS window",
            *(f"{self._text(path)} AS g{n}" for n, path in enumerate(query.group_by)),
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
        if meter.aggregation is Aggregation.COUNT:
            return f"[toString(countIf({of_type}))]", f"countIf({of_type})"
        if meter.aggregation is Aggregation.UNIQUE_COUNT:
            text = self._text(meter.values[0])
            measured = f"{of_type} AND {text} != ''"
            return f"[toString(uniqExactIf({text}, {measured}))]", f"countIf({measured})"
        measured = " AND ".join([of_type, *([] if meter.optional else self._has(meter.values))])
        numbers = [self._number(name) for name in meter.values]
        terms = {
            Aggregation.MIN: [f"toString(minIf({numbers[0]}, {measured}))"],
            Aggregation.MAX: [f"toString(maxIf({numbers[0]}, {measured}))"],
            Aggregation.LATEST: latest_terms(f"maxIf({said(f'toString({numbers[0]})')}, {measured})"),
        }.get(meter.aggregation, [f"toString(sumIf({number}, {measured}))" for number in numbers])
        return f"[{', '.join(terms)}]", f"countIf({measured})"


class StateQuery(MeterStatement):
    """The statement for one `MeterQuery` about a STATE_COUNT. Its rows: window, a text per group, state, entities."""

    def __init__(self, query: MeterQuery, *, corrected: bool, table: str = "events"):
        [meter] = query.meters
        when, now = moment_of(query)
        super().__init__(query, one_window=len(query.edges) == 2 or now, corrected=corrected, table=table)
        groups = range(len(query.group_by))
        columns = [f"{self._window(when)} AS window", *(f"s{n}.4 AS g{n}" for n in groups), "latest.4 AS state"]
        conditions = [*self._events(ALL), *self._with_state(meter.event_type, meter.entity, meter.state)]
        self.sql = (
            f"SELECT {', '.join(columns)}, count() FROM ("
            f"SELECT {self._state_columns(meter.entity, meter.state, query.group_by)}"
            f" FROM {table} WHERE {' AND '.join(conditions)} GROUP BY entity)"
            f" WHERE {self._inside(when) if not now else '1'}"
            f" GROUP BY {', '.join(['window', *(f'g{n}' for n in groups), 'state'])}"
        )


def moment_of(query: MeterQuery) -> tuple[str, bool]:
    """The moment of an entity that a STATE_COUNT goes by, as a column of `_state_columns`; and whether all count."""
    moment = query.state_window or query.meters[0].window
    return "created" if moment is StateWindow.CREATED else "latest.1", moment is StateWindow.NOW


class FirstEventQuery(Statement):
    """The time of the organization's first event that counts, and how many there are."""

    def __init__(self, namespace: str, organization: str):
        super().__init__()
        conditions = [
            f"namespace = {self._parameter('String', namespace)}",
            f"organization = {self._parameter('String', organization)}",
            NOT_OWN,
            self._not_voided("events", namespace, organization, _LATEST),
        ]
        self.sql = f"SELECT toUnixTimestamp64Micro(min(time)), count() FROM events WHERE {' AND '.join(conditions)}"


class NewestQuery(Statement):
    """The statement for one `EventQuery`. Its rows are stored events."""

    def __init__(self, query: EventQuery, *, corrected: bool):
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
        if corrected:
            conditions.append(self._not_voided("events", query.namespace, query.organization, query.as_of_commit))
        order = "DESC" if query.after is None else "ASC"
        self.sql = (
            f"SELECT {_STORED_EVENT} FROM events "
            f"WHERE {' AND '.join(conditions)} ORDER BY time {order}, commit {order}, position {order} "
            f"LIMIT {self._parameter('UInt64', query.limit)}"
        )

    def _place(self, place: Place) -> str:
        commit, position = self._parameter("UInt64", place.commit), self._parameter("UInt32", place.position)
        return f"({self._instant(place.time)}, {commit}, {position})"


class SayingQuery(Statement):
    """The organization's events up to a commit whose data, or a contradiction kept of them, has a text in a property;
    some of them. Its rows are stored events."""

    def __init__(self, saying: Saying, as_of_commit: int, limit: int):
        super().__init__()
        value, path = self._parameter("String", saying.text), saying.path
        self.sql = (
            f"SELECT {_STORED_EVENT} FROM events"
            f" WHERE namespace = {self._parameter('String', saying.namespace)}"
            f" AND organization = {self._parameter('String', saying.organization)}"
            f" AND commit <= {self._parameter('UInt64', as_of_commit)}"
            f" AND if(type = '{CONFLICT}', {self._text(f'data.{path}')}, {self._text(path)}) = {value}"
            f" AND (type = '{CONFLICT}' OR {NOT_OWN}) LIMIT {self._parameter('UInt64', limit)}"
        )


# Line breaks in `data` stand between values only, where a space means the same.
_EXPORTED = {
    ExportForm.NDJSON: """concat('{"specversion":"1.0","id":', toJSONString(id), ',"source":', toJSONString(source),
        ',"type":', toJSONString(type), ',"subject":', toJSONString(organization),
        ',"time":"', replaceOne(toString(time), ' ', 'T'), 'Z","namespace":', toJSONString(namespace),
        ',"data":', translate(data, '\\n\\r', '  '), '}')""",
    ExportForm.PARQUET: "id, source, type, organization AS subject, time, namespace, data",
}


class ExportQuery(Statement):
    """The statement for an export, one column of lines or a column for each attribute.

    All of it is sorted at once, on disk where there is more than some memory holds, and by one thread, because others
    have work to do as well.
    """

    def __init__(self, selection: Selection, form: ExportForm, as_of_commit: int):
        super().__init__()
        conditions = [f"commit <= {self._parameter('UInt64', as_of_commit)}"]
        if selection.namespace is not None:
            conditions.append(f"namespace = {self._parameter('String', selection.namespace)}")
        if selection.organization is not None:
            conditions.append(f"organization = {self._parameter('String', selection.organization)}")
        self.sql = (
            f"SELECT {_EXPORTED[form]} FROM events WHERE {' AND '.join(conditions)} ORDER BY commit, position "
            "SETTINGS max_threads = 1, max_bytes_before_external_sort = 100000000, "
            "max_bytes_ratio_before_external_sort = 0, prefer_external_sort_block_bytes = 4000000, "
            "output_format_parquet_row_group_size = 50000, output_format_json_escape_forward_slashes = 0"
        )

"""The SQL of rollups: the table, folding events into it, and reading it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set

import xxhash

from ...domain.meter import MeterQuery
from ...domain.period import FIRST_INSTANT
from .engine import Parameter
from .queries import NEVER_SAID, NOT_OWN, MeterStatement, Part, Statement, latest_terms, micros, moment_of, said
from .series import SLOT, SLOTS_PER_DAY, Kind, Segment, Series

# Everything in it can be made again from the events. A row is a part of an aggregate; rows with the same key belong
# together, whether they are merged already or not. One table, so that one insert is all of a fold or none of it.
#
#   width  slot        key            what it holds
#   1, 96  of a slot   text of group  COUNT, SUM, MIN, MAX, LATEST of the events in a quarter of an hour, or a day (UTC)
#          or day      ''             UNIQUE: how many values there are that are in this slot and in no other
#                      value          UNIQUE: a value that is in this slot and in others
#                      text of group  CREATED, CHANGED: how many entities of that time are in a state
#   0      0           value          UNIQUE: the first and the last slot of each value
#                      entity         STATE: its first event, its latest state, what it said last of the group
#                      ''             FIRST: the organization's first event
#
# A row without an organization tells up to which commit its series is folded.
_TABLE_COLUMNS = """(
    series       UInt64,
    organization String,
    width        UInt8,
    slot         UInt32 CODEC(Delta, ZSTD(1)),
    key          String CODEC(ZSTD(1)),
    state        LowCardinality(String) CODEC(ZSTD(1)),
    events       SimpleAggregateFunction(sum, Int64) CODEC(ZSTD(1)),
    total        SimpleAggregateFunction(sum, Decimal(76, 28)) CODEC(ZSTD(1)),
    lowest       SimpleAggregateFunction(min, Decimal(76, 28)) CODEC(ZSTD(1)),
    highest      SimpleAggregateFunction(max, Decimal(76, 28)) CODEC(ZSTD(1)),
    first        SimpleAggregateFunction(min, Int64) CODEC(ZSTD(1)),
    last         SimpleAggregateFunction(max, Int64) CODEC(ZSTD(1)),
    latest       SimpleAggregateFunction(max, Tuple(Int64, UInt64, UInt32, String)) CODEC(ZSTD(1)),
    said         SimpleAggregateFunction(max, Tuple(Int64, UInt64, UInt32, String)) CODEC(ZSTD(1)),
    watermark    SimpleAggregateFunction(max, UInt64) CODEC(ZSTD(1))
)"""
_COLUMNS_AND_ENGINE = f"""{_TABLE_COLUMNS}
ENGINE = AggregatingMergeTree ORDER BY (series, organization, width, slot, key, state)
SETTINGS fsync_after_insert = 1, fsync_part_directory = 1, index_granularity = 1024, min_compress_block_size = 16384
"""
LAYOUT = f"1 {xxhash.xxh3_64_hexdigest(_COLUMNS_AND_ENGINE.encode())}"
"""Which rollups these are; the first number is raised when they are folded otherwise. Others are of no use."""
LAYOUT_OF_ROLLUPS = "SELECT comment FROM system.tables WHERE database = currentDatabase() AND name = 'rollups'"
REPLACE_ROLLUPS = f"CREATE OR REPLACE TABLE rollups {_COLUMNS_AND_ENGINE} COMMENT '{LAYOUT}'"

# A fold is put together in memory, by many small statements: the engine analyzes and reads what is inside a large one
# again for each mention. It is then stored in a table that nobody reads, and becomes part of the other in one step.
_SAID = "Tuple(Int64, UInt64, UInt32, String)"
_STEPS = {
    "folded": _TABLE_COLUMNS,
    "fresh_values": "(series UInt64, organization String, value String, slots Array(UInt32))",
    "fresh_entities": f"(series UInt64, organization String, entity String, latest {_SAID}, created Int64, s0 {_SAID})",
    "compared_entities": f"(series UInt64, organization String, entity String, known UInt8, old_latest {_SAID},"
    f" old_created Int64, old_said {_SAID}, now_latest {_SAID}, now_created Int64, now_said {_SAID})",
}
CREATE_FOLD = [
    f"CREATE OR REPLACE TABLE fold {_COLUMNS_AND_ENGINE}",
    *(f"CREATE OR REPLACE TABLE {name} {columns} ENGINE = Memory" for name, columns in _STEPS.items()),
]
EMPTY_STEPS = [f"TRUNCATE TABLE {name}" for name in _STEPS]
EMPTY_FOLD = ["TRUNCATE TABLE fold", *EMPTY_STEPS]
ATTACH_FOLD = "ALTER TABLE rollups ATTACH PARTITION tuple() FROM fold"

WATERMARKS = "SELECT series, max(watermark) FROM rollups WHERE organization = '' GROUP BY series"

EVENTS_OF_COMMITS = """
SELECT commit, namespace, type, count() FROM events WHERE commit > {after:UInt64} AND commit <= {upto:UInt64}
GROUP BY commit, namespace, type ORDER BY commit
"""

EVENTS_AFTER = "SELECT count() FROM events WHERE commit > {commit:UInt64}"

_FIRST_MICROS = micros(FIRST_INSTANT)
_SLOT_MICROS = micros(FIRST_INSTANT + SLOT) - _FIRST_MICROS


def _slot_of(microseconds: str) -> str:
    """The slot that holds an instant."""
    return f"toUInt32(intDiv({microseconds} - {_FIRST_MICROS}, {_SLOT_MICROS}))"


_SLOT_OF_EVENT = _slot_of("toUnixTimestamp64Micro(time)")
_ENTITY_AS_FOLDED = "1 AS known, max(latest) AS old_latest, min(first) AS old_created, max(said) AS old_said"
_ENTITY_AS_IT_IS = """
    if(known AND old_latest > latest, old_latest, latest) AS now_latest,
    if(known AND old_created < created, old_created, created) AS now_created,
    if(known AND old_said > s0, old_said, s0) AS now_said
"""
"""An entity as its rollup has it, and with what events of it say that are not folded."""
_COLUMNS = {Kind.SUM: "total", Kind.MIN: "lowest", Kind.MAX: "highest", Kind.LATEST: "latest"}
"""Where the value of a series of single numbers is kept; a COUNT needs no more than the number of events."""
_APART = (Kind.FIRST, Kind.UNIQUE, Kind.STATE)
_VALUE_TYPES = {**dict.fromkeys(("total", "lowest", "highest"), "Decimal(76, 28)"), "latest": _SAID}

# One thread and one block: an insert becomes one part. Its rows are added up already.
_ONE_PART = (
    "optimize_on_insert = 0, max_threads = 1, max_insert_threads = 1, max_insert_block_size = 100000000, "
    "min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000"
)


class FoldSteps(Statement):
    """Folds a range of commits for some series and moves their watermarks; `types` says of which namespaces and types
    there are events in the range."""

    def __init__(self, series: Sequence[Series], types: Set[tuple[str, str]], after: int, upto: int):
        super().__init__()
        self._range = after, upto
        self.steps: list[tuple[str, dict[str, Parameter]]] = []
        """Statements to execute in turn, with their parameters."""
        found = [each for each in series if each.kind is Kind.FIRST or (each.namespace, each.event_type) in types]
        scans: dict[object, list[Series]] = defaultdict(list)
        for each in found:
            if each.kind not in _APART:
                scans[each.namespace, each.event_type].append(each)
        for kind, fold in ((Kind.FIRST, self._first_events), (Kind.UNIQUE, self._unique), (Kind.STATE, self._states)):
            if of_kind := [each for each in found if each.kind is kind]:
                fold(of_kind)
        for alike in scans.values():
            self._slots(alike)
        marks, mark = self._parameter("Array(UInt64)", [each.id for each in series]), self._parameter("UInt64", upto)
        self._fold({"series": f"arrayJoin({marks})", "watermark": mark}, "")
        self._step(f"INSERT INTO fold SETTINGS {_ONE_PART} SELECT * FROM folded")

    def _step(self, sql: str) -> None:
        self.steps.append((sql, self.parameters))
        self.parameters = {}

    def _fold(self, columns: Mapping[str, str], source: str) -> None:
        values = ", ".join(f"{value} AS {name}" for name, value in columns.items())
        self._step(f"INSERT INTO folded ({', '.join(columns)}) SELECT {values} {source}")

    def _where(self, one: Series, *conditions: str) -> str:
        of_namespace = f"namespace = {self._parameter('String', one.namespace)}"
        of_type = f"type = {self._parameter('String', one.event_type)}"
        return f"WHERE {' AND '.join([of_namespace, of_type, self._settled(), *conditions])}"

    def _settled(self) -> str:
        after, upto = (self._parameter("UInt64", commit) for commit in self._range)
        return f"commit > {after} AND commit <= {upto}"

    def _first_events(self, series: Sequence[Series]) -> None:
        names = ", ".join(self._parameter("String", each.namespace) for each in series)
        ids = self._parameter("Array(UInt64)", [each.id for each in series])
        columns = {"series": f"transform(toString(namespace), [{names}], {ids}, toUInt64(0))"}
        columns |= {"organization": "organization", "first": "min(toUnixTimestamp64Micro(time))"}
        self._fold(
            columns,
            f"FROM events WHERE namespace IN ({names}) AND {NOT_OWN} AND {self._settled()}"
            " GROUP BY series, organization",
        )

    def _states(self, series: Sequence[Series]) -> None:
        """Entities by their latest state. Where they are counted, they are moved from where they were."""
        for one in series:
            groups = [one.group] if one.group else []
            texts = self._state_columns(one.entity, one.state, groups) + ("" if groups else f", {NEVER_SAID} AS s0")
            where = self._where(one, *self._with_state(one.event_type, one.entity, one.state))
            self._step(
                f"INSERT INTO fresh_entities SELECT {self._id(one)}, organization, entity, latest, created, s0"
                f" FROM (SELECT organization, {texts} FROM events {where} GROUP BY organization, entity)"
            )
        self._step(f"""
            INSERT INTO compared_entities SELECT series, organization, entity, known, old_latest, old_created, old_said,
                {_ENTITY_AS_IT_IS}
            FROM fresh_entities AS fresh LEFT JOIN (
                SELECT series, organization, key AS entity, {_ENTITY_AS_FOLDED}
                FROM rollups WHERE width = 0
                    AND (series, organization, key) IN (SELECT series, organization, entity FROM fresh_entities)
                GROUP BY series, organization, entity
            ) AS old USING (series, organization, entity)
        """)
        columns = {"series": "series", "organization": "organization", "key": "entity"}
        columns |= {"first": "now_created", "latest": "now_latest", "said": "now_said"}
        self._fold(columns, "FROM compared_entities")
        for one in series:
            self._counted(one)

    def _counted(self, one: Series) -> None:
        """Where an entity is counted: by its creation and by its latest change, as a whole and by what it said."""
        moves = []
        for which, entities in (("now", 1), ("old", -1)):
            for kind, micros_of in ((Kind.CHANGED, f"{which}_latest.1"), (Kind.CREATED, f"{which}_created")):
                for group, key in {"": "''", one.group: f"{which}_said.4"}.items():
                    counting = self._id(one.counting(kind, group))
                    moves.append(f"({counting}, {_slot_of(micros_of)}, {key}, {which}_latest.4, toInt64({entities}))")
        all_moves, additions = ", ".join(moves), ", ".join(moves[: len(moves) // 2])
        columns = {"series": "move.1", "organization": "organization", "width": "width"}
        columns |= {"slot": "toUInt32(move.2 - move.2 % width)", "key": "move.3", "state": "move.4"}
        columns |= {"events": "sum(move.5)"}
        self._fold(
            columns,
            f"""FROM (
                SELECT organization, arrayJoin(if(known, [{all_moves}], [{additions}])) AS move
                FROM compared_entities WHERE series = {self._id(one)}
            ) ARRAY JOIN [toUInt8(1), toUInt8({SLOTS_PER_DAY})] AS width
            GROUP BY series, organization, width, slot, key, state HAVING events != 0""",
        )

    def _slots(self, series: Sequence[Series]) -> None:
        """Every series of an event type: its events are read once, and added up by slot and group first."""
        one = series[0]
        paths = list(dict.fromkeys(each.group for each in series if each.group))
        kept = list(dict.fromkeys(_COLUMNS[each.kind] for each in series if each.kind in _COLUMNS))
        rows = ", ".join(self._series_row(each, paths, kept) for each in series)
        texts = "".join(f", {self._text(path)} AS g{number}" for number, path in enumerate(paths))
        merges = {"events": "sum", "total": "sum", "lowest": "min", "highest": "max", "latest": "max"}
        parts = {name: f"row.{number}" for number, name in enumerate(["series", "key", "events", *kept], 1)}
        columns = {"organization": "organization", "width": "width", "slot": "toUInt32(quarter - quarter % width)"}
        columns |= {name: f"{merges[name]}({part})" if name in merges else part for name, part in parts.items()}
        self._fold(
            columns,
            "FROM (SELECT organization, quarter, arrayJoin(rows) AS row FROM ("
            f"SELECT organization, {_SLOT_OF_EVENT} AS quarter{texts}, [{rows}] AS rows"
            f" FROM events {self._where(one)} GROUP BY ALL))"
            f" ARRAY JOIN [toUInt8(1), toUInt8({SLOTS_PER_DAY})] AS width"
            " WHERE row.3 > 0 GROUP BY series, key, organization, width, slot",
        )

    def _series_row(self, each: Series, paths: Sequence[str], kept: Sequence[str]) -> str:
        """One series of a slot: its id, group, number of events, and what is kept of any of the series."""
        measured = " AND ".join(self._has(each.needed)) or "1"
        key = f"g{paths.index(each.group)}" if each.group else "''"
        values = [self._id(each), key, f"toInt64(countIf({measured}))"]
        for column in kept:
            if _COLUMNS.get(each.kind) != column:
                values.append(f"defaultValueOfTypeName('{_VALUE_TYPES[column]}')")
            elif column == "latest":
                values.append(f"maxIf({said(f'toString({self._number(each.value)})')}, {measured})")
            else:
                values.append(f"{each.kind.lower()}If({self._number(each.value)}, {measured})")
        return f"({', '.join(values)})"

    def _unique(self, series: Sequence[Series]) -> None:
        """Values by the slots they are in. A value is `alone` while it is in one slot only: then it is counted there.
        When it turns up in another slot it is taken off that count, and gets a row of its own in each of its slots."""
        for one in series:
            text = self._text(one.value)
            where = self._where(one, f"{text} != ''")
            self._step(
                f"INSERT INTO fresh_values SELECT {self._id(one)}, organization, {text} AS value,"
                f" groupUniqArray({_SLOT_OF_EVENT}) FROM events {where} GROUP BY organization, value"
            )
        columns = {"series": "series", "organization": "organization", "width": "row.1", "slot": "row.2"}
        columns |= {"key": "row.3", "events": "sum(row.4)", "first": "min(row.5)", "last": "max(row.6)"}
        self._fold(
            columns,
            f"""FROM (
                SELECT series, organization, known, slots, was_alone, value,
                    [toUInt8(1), toUInt8({SLOTS_PER_DAY})] AS widths,
                    arrayMin(slots) AS earliest,
                    arrayMax(slots) AS newest,
                    if(known, old, earliest) AS place,
                    earliest = newest AND earliest = place AND (NOT known OR was_alone) AS alone,
                    toInt64(multiIf(NOT known, alone, was_alone AND NOT alone, -1, 0)) AS gained,
                    arrayJoin(arrayConcat(
                        [(toUInt8(0), toUInt32(0), value, toInt64(0), toInt64(earliest), toInt64(newest))],
                        arrayMap(w -> (w, toUInt32(place - place % w), '', gained, toInt64(0), toInt64(0)), widths),
                        arrayFlatten(arrayMap(w -> arrayMap(
                            q -> (w, toUInt32(q - q % w), value, toInt64(0), toInt64(0), toInt64(0)),
                            multiIf(alone, [], was_alone, arrayPushBack(slots, old), slots)
                        ), widths))
                    )) AS row
                FROM fresh_values AS fresh LEFT JOIN (
                    SELECT series, organization, key AS value, 1 AS known, toUInt32(min(first)) AS old,
                        min(first) = max(last) AS was_alone
                    FROM rollups WHERE width = 0
                        AND (series, organization, key) IN (SELECT series, organization, value FROM fresh_values)
                    GROUP BY series, organization, value
                ) AS seen USING (series, organization, value)
            )
            WHERE row.1 = 0 OR row.4 != 0 OR row.3 != ''
            GROUP BY series, organization, width, slot, key""",
        )

    def _id(self, one: Series) -> str:
        return self._parameter("UInt64", one.id)


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
        return self._window(f"(toInt64({slot}) * {_SLOT_MICROS} + {_FIRST_MICROS})")


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
        )


def _terms(kind: Kind) -> list[str]:
    if kind is Kind.COUNT:
        return ["toString(sum(events))"]
    if kind is Kind.LATEST:
        return latest_terms("max(latest)")
    return [f"toString({kind.lower()}({_COLUMNS[kind]}))"]


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

"""Statements that select events: lists, the first event of an organization, exports."""

from __future__ import annotations

from ....domain.correction import CONFLICT, STEPS
from ....domain.export import ExportForm, Selection
from ....domain.listing import EventPosition, EventQuery, PropertyMatch
from ..corrections.correction_queries import CorrectedStatement
from ..engine.statement import NOT_SYSTEM, STORED_EVENT, Statement

COMMIT_AT = "SELECT max(commit) FROM events WHERE stored_at <= fromUnixTimestamp64Micro({instant:Int64}, 'UTC')"

COUNT_EVENTS = "SELECT count() FROM events"

_STEPS = ", ".join(f"'{each}'" for each in sorted(STEPS))

CHANGED_SINCE = (
    f"SELECT namespace, organization, max(type IN ({_STEPS})) FROM events WHERE commit > {{commit:UInt64}}"
    " GROUP BY namespace, organization"
)

CORRECTION_STEPS = (
    f"SELECT {STORED_EVENT} FROM events WHERE commit > {{after:UInt64}} AND commit <= {{upto:UInt64}}"
    f" AND type IN ({_STEPS}) ORDER BY commit, position"
)

_LATEST = (1 << 64) - 1


class FirstEventQuery(CorrectedStatement):
    """Selects the time of the organization's first event that is not voided, and how many events there are."""

    def __init__(self, namespace: str, organization: str):
        super().__init__()
        conditions = [
            f"namespace = {self._parameter('String', namespace)}",
            f"organization = {self._parameter('String', organization)}",
            NOT_SYSTEM,
            self._not_voided("events", namespace, organization, _LATEST),
        ]
        self.sql = f"SELECT toUnixTimestamp64Micro(min(time)), count() FROM events WHERE {' AND '.join(conditions)}"


class ListEventsQuery(CorrectedStatement):
    """Selects one `EventQuery`. Its rows are stored events."""

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
            conditions.append(f"(time, commit, position) < {self._position(query.before)}")
        if query.after is not None:
            conditions.append(f"(time, commit, position) > {self._position(query.after)}")
        if corrected:
            conditions.append(self._not_voided("events", query.namespace, query.organization, query.as_of_commit))
        order = "DESC" if query.after is None else "ASC"
        self.sql = (
            f"SELECT {STORED_EVENT} FROM events "
            f"WHERE {' AND '.join(conditions)} ORDER BY time {order}, commit {order}, position {order} "
            f"LIMIT {self._parameter('UInt64', query.limit)}"
        )

    def _position(self, place: EventPosition) -> str:
        commit, position = self._parameter("UInt64", place.commit), self._parameter("UInt32", place.position)
        return f"({self._instant(place.time)}, {commit}, {position})"


class PropertyMatchQuery(Statement):
    """Selects some of the organization's events, and conflicts, up to a commit, whose property has a text. Its rows are
    stored events."""

    def __init__(self, match: PropertyMatch, as_of_commit: int, limit: int):
        super().__init__()
        value, path = self._parameter("String", match.text), match.path
        self.sql = (
            f"SELECT {STORED_EVENT} FROM events"
            f" WHERE namespace = {self._parameter('String', match.namespace)}"
            f" AND organization = {self._parameter('String', match.organization)}"
            f" AND commit <= {self._parameter('UInt64', as_of_commit)}"
            f" AND if(type = '{CONFLICT}', {self._text(f'data.{path}')}, {self._text(path)}) = {value}"
            f" AND (type = '{CONFLICT}' OR {NOT_SYSTEM}) LIMIT {self._parameter('UInt64', limit)}"
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
    """Selects an export: one column of lines, or a column for each attribute. The engine sorts all of it, on disk when
    it is large, and with one thread, because requests need the others."""

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

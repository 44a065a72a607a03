"""The statements that materialize events into rollups."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace

from ....domain.slot import SLOTS_PER_DAY
from ..engine.engine import Parameter
from ..engine.statement import NOT_SYSTEM, UNSET, Statement, slot_of
from .definition import Kind, RollupDefinition
from .table_queries import MERGE_STAGING, VERSIONED_TYPE

_SLOT_OF_EVENT = slot_of("toUnixTimestamp64Micro(time)")
_ENTITY_AS_ROLLED_UP = "1 AS known, max(latest) AS old_latest, min(first) AS old_created, max(said) AS old_said"
_ENTITY_AS_IT_IS = """
    if(known AND old_latest > latest, old_latest, latest) AS now_latest,
    if(known AND old_created < created, old_created, created) AS now_created,
    if(known AND old_said > s0, old_said, s0) AS now_said
"""
"""An entity as its rollup has it, and with what events of it say that are not materialized."""
COLUMNS = {Kind.SUM: "total", Kind.MIN: "lowest", Kind.MAX: "highest", Kind.LATEST: "latest"}
"""Where the value of a series of single numbers is kept; a COUNT needs no more than the number of events."""
_MERGES = {Kind.COUNT: "sum", Kind.SUM: "sum", Kind.MIN: "min", Kind.MAX: "max", Kind.LATEST: "max"}
_APART = (Kind.FIRST, Kind.UNIQUE, Kind.STATE)
_VALUE_TYPES = {**dict.fromkeys(("total", "lowest", "highest"), "Decimal(76, 28)"), "latest": VERSIONED_TYPE}

# One thread and one block: an insert becomes one part.
_ONE_PART = (
    "max_threads = 1, max_insert_threads = 1, max_insert_block_size = 100000000, "
    "min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000"
)
# Many small blocks; what does not fit is added up on disk.
_LITTLE_AT_ONCE = (
    "min_insert_block_size_rows = 250000, min_insert_block_size_bytes = 60000000, "
    "max_bytes_before_external_group_by = 200000000, max_bytes_ratio_before_external_group_by = 0"
)


class MaterializeSteps(Statement):
    """Folds a range of commits for some series and moves their watermarks; `types` says of which namespaces and types
    there are events in the range. With `large`, it may have more of them than rows fit into memory."""

    def __init__(
        self, definition: Sequence[RollupDefinition], types: Set[tuple[str, str]], after: int, upto: int, *, large: bool
    ):
        super().__init__()
        self._range = after, upto
        self._large = large
        self.steps: list[tuple[str, dict[str, Parameter]]] = []
        """Statements to execute in turn, with their parameters."""
        found = [each for each in definition if each.kind is Kind.FIRST or (each.namespace, each.event_type) in types]
        scans: dict[object, list[RollupDefinition]] = defaultdict(list)
        for each in found:
            if each.kind not in _APART:
                scans[each.namespace, each.event_type].append(each)
        for kind, stage in ((Kind.FIRST, self._first_events), (Kind.UNIQUE, self._unique), (Kind.STATE, self._states)):
            if of_kind := [each for each in found if each.kind is kind]:
                stage(of_kind)
        for alike in scans.values():
            self._slots(alike)
        marks, mark = (
            self._parameter("Array(UInt64)", [each.id for each in definition]),
            self._parameter("UInt64", upto),
        )
        self._stage({"series": f"arrayJoin({marks})", "watermark": mark}, "")
        self._step(MERGE_STAGING if large else f"INSERT INTO staging SETTINGS {_ONE_PART} SELECT * FROM staged")

    def _step(self, sql: str) -> None:
        self.steps.append((sql, self.parameters))
        self.parameters = {}
        self._written.clear()

    def _insert(self, what: str) -> None:
        self._step(f"INSERT INTO {what}" + (f" SETTINGS {_LITTLE_AT_ONCE}" if self._large else ""))

    def _stage(self, columns: Mapping[str, str], source: str) -> None:
        values = ", ".join(f"{value} AS {name}" for name, value in columns.items())
        into = "staging" if self._large else "staged"
        self._insert(f"{into} ({', '.join(columns)}) SELECT {values} {source}")

    def _where(self, one: RollupDefinition, *conditions: str) -> str:
        of_namespace = f"namespace = {self._parameter('String', one.namespace)}"
        of_type = f"type = {self._parameter('String', one.event_type)}"
        return f"WHERE {' AND '.join([of_namespace, of_type, self._settled(), *conditions])}"

    def _settled(self) -> str:
        after, upto = (self._parameter("UInt64", commit) for commit in self._range)
        return f"commit > {after} AND commit <= {upto}"

    def _first_events(self, definition: Sequence[RollupDefinition]) -> None:
        names = ", ".join(self._parameter("String", each.namespace) for each in definition)
        ids = self._parameter("Array(UInt64)", [each.id for each in definition])
        columns = {"series": f"transform(toString(namespace), [{names}], {ids}, toUInt64(0))"}
        columns |= {"organization": "organization", "first": "min(toUnixTimestamp64Micro(time))"}
        self._stage(
            columns,
            f"FROM events WHERE namespace IN ({names}) AND {NOT_SYSTEM} AND {self._settled()}"
            " GROUP BY series, organization",
        )

    def _states(self, definition: Sequence[RollupDefinition]) -> None:
        """Entities by their latest state. Where they are counted, they are moved from where they were."""
        for one in definition:
            groups = [one.group] if one.group else []
            texts = self._state_columns(one.entity, one.state, groups) + ("" if groups else f", {UNSET} AS s0")
            where = self._where(one, *self._with_state(one.event_type, one.entity, one.state))
            self._insert(
                f"fresh_entities SELECT {self._id(one)}, organization, entity, latest, created, s0"
                f" FROM (SELECT organization, {texts} FROM events {where} GROUP BY organization, entity)"
            )
        self._insert(f"""
            compared_entities SELECT series, organization, entity, known, old_latest, old_created, old_said,
                {_ENTITY_AS_IT_IS}
            FROM fresh_entities AS fresh LEFT JOIN (
                SELECT series, organization, key AS entity, {_ENTITY_AS_ROLLED_UP}
                FROM rollups WHERE width = 0
                    AND (series, organization, key) IN (SELECT series, organization, entity FROM fresh_entities)
                GROUP BY series, organization, entity
            ) AS old USING (series, organization, entity)
        """)
        columns = {"series": "series", "organization": "organization", "key": "entity"}
        columns |= {"first": "now_created", "latest": "now_latest", "said": "now_said"}
        self._stage(columns, "FROM compared_entities")
        for one in definition:
            self._counted(one)

    def _counted(self, one: RollupDefinition) -> None:
        """Where an entity is counted: by its creation and by its latest change, as a whole and by what it said."""
        moves = []
        for which, entities in (("now", 1), ("old", -1)):
            for kind, micros_of in ((Kind.CHANGED, f"{which}_latest.1"), (Kind.CREATED, f"{which}_created")):
                for group, key in {"": "''", one.group: f"{which}_said.4"}.items():
                    counting = self._id(one.counting(kind, group))
                    moves.append(f"({counting}, {slot_of(micros_of)}, {key}, {which}_latest.4, toInt64({entities}))")
        all_moves, additions = ", ".join(moves), ", ".join(moves[: len(moves) // 2])
        columns = {"series": "move.1", "organization": "organization", "width": "width"}
        columns |= {"slot": "toUInt32(move.2 - move.2 % width)", "key": "move.3", "state": "move.4"}
        columns |= {"events": "sum(move.5)"}
        self._stage(
            columns,
            f"""FROM (
                SELECT organization, arrayJoin(if(known, [{all_moves}], [{additions}])) AS move
                FROM compared_entities WHERE series = {self._id(one)}
            ) ARRAY JOIN [toUInt8(1), toUInt8({SLOTS_PER_DAY})] AS width
            GROUP BY series, organization, width, slot, key, state HAVING events != 0""",
        )

    def _slots(self, definition: Sequence[RollupDefinition]) -> None:
        """Every series of an event type: its events are read once and added up by slot and all groups, then by slot or
        day and one group. What several series need is added up once; only at the end each has rows of its own."""
        paths = ["", *dict.fromkeys(each.group for each in definition if each.group)]
        kept = list(dict.fromkeys(COLUMNS[each.kind] for each in definition if each.kind in COLUMNS))
        sums: dict[RollupDefinition, str] = {}
        parts, merged = "", ""

        def added_up(kind: Kind, one: RollupDefinition) -> str:
            nonlocal parts, merged
            same = replace(one, kind=kind, value="" if kind is Kind.COUNT else one.value, group="")
            if same not in sums:
                number = len(sums)
                sums[same] = f"sum{number}"
                parts += f", {self._added_up(same)} AS part{number}"
                part, measured = f"part{number}", ""
                if kind in (Kind.MIN, Kind.MAX, Kind.LATEST):  # a part without events has a value that none had
                    part, measured = f"part{number}, part{added_up(Kind.COUNT, one).removeprefix('sum')} > 0", "If"
                merged += f", {_MERGES[kind]}{measured}({part}) AS sum{number}"
            return sums[same]

        rows: dict[str, list[str]] = defaultdict(list)
        for each in definition:
            values = [self._id(each), added_up(Kind.COUNT, each)]
            for column in kept:
                own = COLUMNS.get(each.kind) == column
                values.append(added_up(each.kind, each) if own else f"defaultValueOfTypeName('{_VALUE_TYPES[column]}')")
            rows[each.group].append(f"({', '.join(values)})")
        texts = "".join(f", {self._text(path)} AS g{number}" for number, path in enumerate(paths) if path)
        places, cases = [], ""
        for number, path in enumerate(paths):
            if path in rows:
                key = f"g{number}" if path else "''"
                for width in (1, SLOTS_PER_DAY):
                    slot = f"toUInt32(quarter - quarter % {width})"
                    places.append(f"(toUInt8({number}), toUInt8({width}), {slot}, {key})")
                cases += f"place.1 = {number}, [{', '.join(rows[path])}], "
        columns = {"organization": "organization", "width": "place.2", "slot": "place.3", "key": "place.4"}
        columns |= {name: f"row.{number}" for number, name in enumerate(["series", "events", *kept], 1)}
        self._stage(
            columns,
            f"FROM (SELECT organization, place, arrayJoin(multiIf({cases}[])) AS row"
            f" FROM (SELECT organization, place{merged}"
            f" FROM (SELECT *, arrayJoin([{', '.join(places)}]) AS place"
            f" FROM (SELECT organization, {_SLOT_OF_EVENT} AS quarter{texts}{parts}"
            f" FROM events {self._where(definition[0])} GROUP BY ALL))"
            " GROUP BY organization, place)) WHERE row.2 > 0",
        )

    def _added_up(self, one: RollupDefinition) -> str:
        """What the events of a slot come to."""
        measured = " AND ".join([*self._where_any(one.where), *self._has(one.needed)]) or "1"
        aggregate = self._aggregate(one.kind.lower(), one.value, measured)
        return f"toInt64({aggregate})" if one.kind is Kind.COUNT else aggregate

    def _unique(self, definition: Sequence[RollupDefinition]) -> None:
        """Values by the slots they are in. A value is `alone` while it is in one slot only: then it is counted there.
        When it turns up in another slot it is taken off that count, and gets a row of its own in each of its slots."""
        for one in definition:
            text = self._text(one.value)
            where = self._where(one, *self._where_any(one.where), f"{text} != ''")
            self._insert(
                f"fresh_values SELECT {self._id(one)}, organization, {text} AS value,"
                f" groupUniqArray({_SLOT_OF_EVENT}) FROM events {where} GROUP BY organization, value"
            )
        self._insert("""
            compared_values SELECT series, organization, value, earliest, newest, place,
                multiIf(NOT known, alone, was_alone AND NOT alone, -1, 0) AS gained,
                multiIf(alone, [], was_alone, arrayPushBack(slots, old), slots) AS shared
            FROM (
                SELECT *, arrayMin(slots) AS earliest, arrayMax(slots) AS newest, if(known, old, earliest) AS place,
                    earliest = newest AND earliest = place AND (NOT known OR was_alone) AS alone
                FROM fresh_values AS fresh LEFT JOIN (
                    SELECT series, organization, key AS value, 1 AS known, toUInt32(min(first)) AS old,
                        min(first) = max(last) AS was_alone
                    FROM rollups WHERE width = 0
                        AND (series, organization, key) IN (SELECT series, organization, value FROM fresh_values)
                    GROUP BY series, organization, value
                ) AS seen USING (series, organization, value)
            )
        """)
        self._step("TRUNCATE TABLE fresh_values")
        columns = {"series": "series", "organization": "organization", "key": "value"}
        self._stage({**columns, "first": "earliest", "last": "newest"}, "FROM compared_values")
        widths = f"ARRAY JOIN [toUInt8(1), toUInt8({SLOTS_PER_DAY})] AS width"
        columns = {"series": "series", "organization": "organization", "width": "width"}
        self._stage(
            {**columns, "slot": "toUInt32(place - place % width)", "events": "sum(gained)"},
            f"FROM compared_values {widths} WHERE gained != 0 GROUP BY ALL HAVING events != 0",
        )
        slots = "arrayJoin(arrayDistinct(arrayMap(slot -> toUInt32(slot - slot % width), shared)))"
        self._stage({**columns, "slot": slots, "key": "value"}, f"FROM compared_values {widths} WHERE notEmpty(shared)")
        self._step("TRUNCATE TABLE compared_values")

    def _id(self, one: RollupDefinition) -> str:
        return self._parameter("UInt64", one.id)

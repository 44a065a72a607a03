"""A statement under construction, and what the statements about events have in common.

Names and values are parameters: nothing that a user wrote stands in a text.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from ....domain.event import SYSTEM_PREFIX
from ....domain.json_reading import places_of
from ....domain.period import FIRST_INSTANT
from ....domain.slot import SLOT
from .engine import Parameter
from .instants import micros

STORED_EVENT = """
namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data,
commit, position, toUnixTimestamp64Micro(stored_at)
"""
"""The columns of a stored event, as `stored_events.events_of` reads them."""

NOT_SYSTEM = f"NOT startsWith(type, '{SYSTEM_PREFIX}')"


SlotOf = tuple[str, int]
"""An organization, and one of its slots."""


@dataclass(frozen=True, slots=True)
class RawScan:
    """Which events of a query are read: those after a commit, or those up to it in some ranges of time, or those up to
    it in some slots of some organizations."""

    commit: int = 0
    within: tuple[tuple[datetime, datetime], ...] = ()
    slots: tuple[SlotOf, ...] = ()


def versioned(text: str) -> str:
    """A text with its version (time, commit and position): the greatest is the latest."""
    return f"(toUnixTimestamp64Micro(time), commit, position, {text})"


def latest_terms(newest: str) -> list[str]:
    """The parts of a versioned text, as texts."""
    return [f"toString(({newest}).{place})" for place in (1, 2, 3)] + [f"({newest}).4"]


FIRST_MICROS = micros(FIRST_INSTANT)
SLOT_MICROS = micros(FIRST_INSTANT + SLOT) - FIRST_MICROS


def slot_of(microseconds: str) -> str:
    """The slot that holds an instant."""
    return f"toUInt32(intDiv({microseconds} - {FIRST_MICROS}, {SLOT_MICROS}))"


ALL = RawScan()
UNSET_VALUE = [micros(FIRST_INSTANT) - 1, 0, 0, ""]
"""Less than every versioned text."""
UNSET = f"(toInt64({UNSET_VALUE[0]}), toUInt64(0), toUInt32(0), '')"


class Statement:
    """A statement under construction: every value in it becomes a parameter."""

    sql: str

    def __init__(self) -> None:
        self.parameters: dict[str, Parameter] = {}
        self._written: dict[object, str] = {}
        """How a parameter of some type and value is written; each is one parameter, however often it is used."""

    def _text(self, path: str) -> str:
        """A property as text, as `domain.json_reading.read_text` defines it."""
        *others, last = places_of(path)
        cases = [f"JSONHas({self._place_in_data(place)}), {self._text_at(place, path)}" for place in others]
        return f"multiIf({', '.join([*cases, self._text_at(last, path)])})" if cases else self._text_at(last, path)

    def _text_at(self, names: Sequence[str], path: str) -> str:
        """The text at one of the places that a path may lead to. The exact digits of a number are among the event's
        numbers."""
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

    def _where_any(self, filters: Sequence[tuple[str, Sequence[str]]]) -> list[str]:
        """The conditions on properties, each of which must have one of some texts."""
        return [f"{self._text(path)} IN {self._parameter('Array(String)', texts)}" for path, texts in filters]

    def _aggregate(self, function: str, value: str, measured: str) -> str:
        """Aggregates the measured events: "count", or the "sum", "min", "max" or "latest" of a quantity."""
        if function == "count":
            return f"countIf({measured})"
        number = self._number(value)
        if function == "latest":
            return f"maxIf({versioned(f'toString({number})')}, {measured})"
        return f"{function}If({number}, {measured})"

    def _time_conditions(self, column: str, start: datetime | None, end: datetime | None) -> list[str]:
        sides = ((start, ">="), (end, "<"))
        return [f"{column} {sign} {self._instant(edge)}" for edge, sign in sides if edge is not None]

    def _with_state(self, event_type: str, entity: str, state: str) -> list[str]:
        """The conditions on events that have the state of an entity."""
        of_type = f"type = {self._parameter('String', event_type)}"
        return [of_type, f"{self._text(entity)} != ''", f"{self._text(state)} != ''"]

    def _state_columns(self, entity: str, state: str, groups: Sequence[str]) -> str:
        """For each entity its latest state, its creation, and the latest text of each group."""
        texts = [self._text(path) for path in groups]
        return ", ".join(
            [
                f"{self._text(entity)} AS entity",
                f"max({versioned(self._text(state))}) AS latest",
                "min(toUnixTimestamp64Micro(time)) AS created",
                *(f"max(if({text} != '', {versioned(text)}, {UNSET})) AS s{n}" for n, text in enumerate(texts)),
            ]
        )

    def _scan_conditions(self, scan: RawScan) -> list[str]:
        if not scan.commit:
            return []
        commit = self._parameter("UInt64", scan.commit)
        if scan.slots:
            place = f"(organization, {slot_of('toUnixTimestamp64Micro(time)')})"
            return [f"commit <= {commit}", f"{place} IN {self._slot_pairs(scan.slots)}"]
        if not scan.within:
            return [f"commit > {commit}"]
        raw_ranges = (" AND ".join(self._time_conditions("time", start, end)) for start, end in scan.within)
        return [f"commit <= {commit}", f"({' OR '.join(raw_ranges)})"]

    def _slot_pairs(self, slots: Sequence[SlotOf]) -> str:
        """Slots of organizations, as a set of pairs."""
        organizations = self._parameter("Array(String)", [organization for organization, _ in slots])
        return f"arrayZip({organizations}, {self._parameter('Array(UInt32)', [slot for _, slot in slots])})"

    def _instant(self, edge: datetime) -> str:
        return f"fromUnixTimestamp64Micro({self._parameter('Int64', micros(edge))}, 'UTC')"

    def _parameter(self, sql_type: str, value: Parameter) -> str:
        known = sql_type, value if isinstance(value, str | int) else tuple(value)
        if (written := self._written.get(known)) is None:
            name = f"p{len(self.parameters)}"
            self.parameters[name] = value
            written = self._written[known] = f"{{{name}:{sql_type}}}"
        return written

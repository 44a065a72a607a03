"""Statements that reduce old events to their retained fields."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TypeAlias

import msgspec

from ....domain.correction import CONFLICT
from ....domain.event import REDUCED
from ....domain.json_reading import places_of
from ....domain.retention import Redaction
from ..engine.statement import NOT_SYSTEM, Statement

_NOTHING_LEFT = f'{{"{REDUCED}":true'
"""How reduced data begins."""
_DELIVERY = ("source", "id", "type", "subject", "time")
_NUMBERS = "Map(LowCardinality(String), Decimal(76, 28))"

_Path: TypeAlias = tuple[str, ...]
"""Names, each of a member of the one before."""


class _Reducing(Statement):
    def __init__(self, reduction: Redaction):
        super().__init__()
        self._reduction = reduction

    def _reducible(self) -> str:
        """The events that have not been reduced, and the contradictions."""
        old = f"namespace = {self._parameter('String', self._reduction.namespace)}"
        old += f" AND {self._time_conditions('time', None, self._reduction.before)[0]}"
        return f"{old} AND (({NOT_SYSTEM} AND {self._whole('data')}) OR {self._contradiction()})"

    def _whole(self, data: str) -> str:
        return f"NOT startsWith({data}, {self._parameter('String', _NOTHING_LEFT)})"

    def _contradiction(self) -> str:
        whole = self._whole("JSONExtractRaw(data, 'data')")
        return f"(type = '{CONFLICT}' AND {whole})"


class RedactableQuery(_Reducing):
    """Counts the events that a redaction would change."""

    def __init__(self, reduction: Redaction):
        super().__init__(reduction)
        self.sql = f"SELECT count() FROM events WHERE {self._reducible()}"


class Redact(_Reducing):
    """Reduces these events. Running it again leaves reduced events alone."""

    def __init__(self, reduction: Redaction):
        super().__init__(reduction)
        no_numbers = self._numbers([])
        data, numbers = [f"type = '{CONFLICT}'", self._delivery()], [f"type = '{CONFLICT}'", no_numbers]
        for event_type, kept in reduction.kept.items():
            of_type = f"type = {self._parameter('String', event_type)}"
            paths = {place for path in (*kept.numbers, *kept.texts) for place in places_of(path)}
            data += [of_type, self._object(paths, (), [self._parameter("String", _NOTHING_LEFT[1:])])]
            # A text may be written as a number, whose exact digits are there.
            numbers += [of_type, self._numbers([*kept.numbers, *kept.texts])]
        nothing = self._parameter("String", _NOTHING_LEFT + "}")
        self.sql = (
            f"ALTER TABLE events UPDATE data = multiIf({', '.join([*data, nothing])}),"
            f" numbers = multiIf({', '.join([*numbers, no_numbers])})"
            f" WHERE {self._reducible()} SETTINGS mutations_sync = 1"
        )

    def _object(self, kept: Collection[_Path], place: _Path, begin: Sequence[str] = ()) -> str:
        """The object at a place of the data with the members that are kept, as JSON."""
        members = [self._member(name, kept, (*place, name)) for name in sorted({path[0] for path in kept})]
        listed = f"arrayFilter(member -> member != '', [{', '.join([*begin, *members])}])"
        return f"concat('{{', arrayStringConcat({listed}, ','), '}}')"

    def _member(self, name: str, kept: Collection[_Path], place: _Path) -> str:
        """A member with its name; "" where there is none that is read."""
        arguments = self._place_in_data(place)
        kind, raw = f"JSONType({arguments})", f"JSONExtractRaw({arguments})"
        cases = []
        if (name,) in kept:
            others = [(*place[:n], ".".join(place[n:])) for n in range(len(place) - 1)]
            cases += [arg for other in others for arg in (f"JSONHas({self._place_in_data(other)})", "''")]
            cases += [f"{kind} IN ('String', 'Bool')", raw]
            cases += [f"{kind} IN ('Int64', 'UInt64', 'Double')", self._digits(place)]
        if below := [path[1:] for path in kept if path[0] == name and len(path) > 1]:
            cases += [f"{kind} = 'Object'", self._object(below, place)]
        value = f"multiIf({', '.join(cases)}, '')"
        named = self._parameter("String", msgspec.json.encode(name).decode() + ":")
        return f"if({value} = '', '', concat({named}, {value}))"

    def _digits(self, place: _Path) -> str:
        """A number with its own digits, not as a double; long integers in the spelling that any reader takes."""
        path, arguments = ".".join(place), self._place_in_data(place)
        otherwise = f"if(JSONType({arguments}) != 'Double', JSONExtractRaw({arguments}), '')" if place[1:] else "''"
        digits = f"toString({self._number(path)})"
        spelled = f"if(length({digits}) > 18 AND position({digits}, '.') = 0, concat({digits}, 'e0'), {digits})"
        return f"if({self._has([path])[0]}, {spelled}, {otherwise})"

    def _numbers(self, names: Iterable[str]) -> str:
        kept = f"has({self._parameter('Array(String)', sorted({*names}))}, name)"
        return (
            f"CAST((arrayFilter(name -> {kept}, mapKeys(numbers)),"
            f" arrayFilter((number, name) -> {kept}, mapValues(numbers), mapKeys(numbers))), '{_NUMBERS}')"
        )

    def _delivery(self) -> str:
        """A contradiction without the data that was delivered."""
        told = ", ',', ".join(f"'\"{name}\":', JSONExtractRaw(data, '{name}')" for name in _DELIVERY)
        nothing = self._parameter("String", f',"data":{_NOTHING_LEFT}}}}}')
        return f"concat('{{', {told}, {nothing})"

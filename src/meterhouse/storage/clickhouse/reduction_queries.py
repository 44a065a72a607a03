"""The SQL that removes from old events what is not kept of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeAlias

import msgspec

from ...domain.correction import CONFLICT
from ...domain.event import REDUCED
from ...domain.retention import Kept, Reduction
from .queries import NOT_OWN, Statement

_NOTHING_LEFT = f'{{"{REDUCED}":true'
"""How reduced data begins."""
_DELIVERY = ("source", "id", "type", "subject", "time")
_NUMBERS = "Map(LowCardinality(String), Decimal(76, 28))"

_Members: TypeAlias = "dict[str, _Members]"
"""Names and what is kept below them; an empty one keeps all that is not an object."""


class _Reducing(Statement):
    def __init__(self, reduction: Reduction):
        super().__init__()
        self._reduction = reduction

    def _reducible(self) -> str:
        """The events that have not been reduced, and the contradictions."""
        old = f"namespace = {self._parameter('String', self._reduction.namespace)}"
        old += f" AND {self._time_conditions('time', None, self._reduction.before)[0]}"
        return f"{old} AND (({NOT_OWN} AND {self._whole('data')}) OR {self._contradiction()})"

    def _whole(self, data: str) -> str:
        return f"NOT startsWith({data}, {self._parameter('String', _NOTHING_LEFT)})"

    def _contradiction(self) -> str:
        whole = self._whole("JSONExtractRaw(data, 'data')")
        return f"(type = '{CONFLICT}' AND {whole})"


class ReducibleQuery(_Reducing):
    """How many events there are to reduce."""

    def __init__(self, reduction: Reduction):
        super().__init__(reduction)
        self.sql = f"SELECT count() FROM events WHERE {self._reducible()}"


class Reduce(_Reducing):
    """Reduces them, part by part. What was reduced is left alone when it is done again."""

    def __init__(self, reduction: Reduction):
        super().__init__(reduction)
        no_numbers = self._numbers([])
        data, numbers = [f"type = '{CONFLICT}'", self._delivery()], [f"type = '{CONFLICT}'", no_numbers]
        for event_type, kept in reduction.kept.items():
            of_type = f"type = {self._parameter('String', event_type)}"
            data += [of_type, self._object(_tree(kept), [], reduced=True)]
            # A text may be written as a number, whose exact digits are there.
            numbers += [of_type, self._numbers([*kept.numbers, *(path for path in kept.texts if "." not in path)])]
        nothing = self._parameter("String", _NOTHING_LEFT + "}")
        self.sql = (
            f"ALTER TABLE events UPDATE data = multiIf({', '.join([*data, nothing])}),"
            f" numbers = multiIf({', '.join([*numbers, no_numbers])})"
            f" WHERE {self._reducible()} SETTINGS mutations_sync = 1"
        )

    def _object(self, members: _Members, path: Sequence[str], *, reduced: bool = False) -> str:
        """The object at a path of the data with the members that are kept, as JSON."""
        texts = [self._member(name, below, [*path, name]) for name, below in members.items()]
        if reduced:
            texts = [self._parameter("String", _NOTHING_LEFT[1:]), *texts]
        listed = f"arrayFilter(member -> member != '', [{', '.join(texts)}])"
        return f"concat('{{', arrayStringConcat({listed}, ','), '}}')"

    def _member(self, name: str, below: _Members, path: Sequence[str]) -> str:
        """The member with its name; "" where there is none that is read."""
        place = ", ".join(["data", *(self._parameter("String", each) for each in path)])
        kind, raw = f"JSONType({place})", f"JSONExtractRaw({place})"
        value = f"{kind} IN ('String', 'Bool'), {raw}, {kind} IN ('Int64', 'UInt64', 'Double'), "
        value += raw if len(path) > 1 else self._digits(name)
        if below:
            value += f", {kind} = 'Object', {self._object(below, path)}"
        named = self._parameter("String", msgspec.json.encode(name).decode() + ":")
        return f"if(multiIf({value}, '') = '', '', concat({named}, multiIf({value}, '')))"

    def _digits(self, name: str) -> str:
        """A number as it was written, not as a double; long integers in the spelling that any reader takes."""
        digits = f"toString({self._number(name)})"
        spelled = f"if(length({digits}) > 18 AND position({digits}, '.') = 0, concat({digits}, 'e0'), {digits})"
        return f"if({self._has([name])[0]}, {spelled}, '')"

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


def _tree(kept: Kept) -> _Members:
    tree: _Members = {name: {} for name in kept.numbers}
    for path in kept.texts:
        members = tree
        for name in path.split("."):
            members = members.setdefault(name, {})
    return tree

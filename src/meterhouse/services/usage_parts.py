"""Reading what a question about usage is made of: a meter's total and windows, as a whole and by group."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from ..domain.errors import Invalid, TooManyGroups
from ..domain.meter import Aggregation, GroupSet, Meter, MeterQuery
from ..domain.partial_aggregate import Partial, merge_partials, value_of
from ..domain.quantity import ZERO
from ..ports.aggregate_reader import AggregateReader

Edges: TypeAlias = tuple[datetime | None, ...]
"""n + 1 instants that bound n windows, as in a `MeterQuery`."""
Group: TypeAlias = tuple[str, ...]
Cells: TypeAlias = Mapping[int, Partial]
"""By window, what its events come to."""
_MOST_CELLS = 20_000
"""The most groups and windows that are merged here. Of more, the engine ranks the groups first."""
_MOST_CELLS_UNRANKED = 100_000
"""The same of the aggregations that the engine does not rank."""
_RANKED = (Aggregation.COUNT, Aggregation.SUM, Aggregation.MIN, Aggregation.MAX, Aggregation.UNIQUE_COUNT)


@dataclass(frozen=True, slots=True)
class Series:
    """A total, and the total of each window; None where there is nothing to speak of."""

    total: Decimal | None
    windows: tuple[Decimal | None, ...]


@dataclass(frozen=True, slots=True)
class UsageParts:
    """A meter in a span: the whole of it, some groups, and all other groups together."""

    whole: Series
    groups: Mapping[Group, Series]
    other: Series | None
    """None where there is no event of another group."""


class PartsReader:
    """Reads parts of meters, all from the same snapshot. Mergeable aggregates of few groups are read with one
    statement and merged; else the engine is asked for each part."""

    def __init__(self, reader: AggregateReader, query: MeterQuery):
        """`query` has everything but its meters and edges. Its groups are those of the parts."""
        self._reader = reader
        self._query = query
        self._read_ahead: dict[tuple[Meter, Edges], Mapping[Group, Cells]] = {}

    def read_ahead(self, meters: Iterable[Meter], edges: Edges) -> None:
        """Reads several meters with one statement, where that is possible."""
        alone = (Aggregation.UNIQUE_COUNT, Aggregation.STATE_COUNT)
        together = tuple(meter for meter in meters if meter.aggregation not in alone)
        if len(together) > 1:
            try:
                found = self._cells(self._query, together, edges, _MOST_CELLS)
            except TooManyGroups:
                return  # each on its own may have few enough
            self._read_ahead |= {(meter, edges): found[meter] for meter in together}

    def largest(self, meter: Meter, edges: Edges, count: int) -> tuple[UsageParts, int]:
        """The parts with the largest groups, by total and then by name; and how many other groups there are. Raises
        `Invalid` where the groups are too many to be ranked."""
        if (cells := self._few_cells(meter, edges)) is not None:
            totals = {group: _series(meter, of_group, 0).total or ZERO for group, of_group in cells.items()}
            ordered = sorted(cells, key=lambda group: (totals[group].copy_negate(), group))
            groups, others = tuple(ordered[:count]), len(ordered[count:])
        elif meter.aggregation in _RANKED:
            ranking = self._reader.rank(replace(self._query, meters=(meter,), edges=(edges[0], edges[-1])), count)
            groups, others = ranking.groups, ranking.of - len(ranking.groups)
        else:
            raise Invalid(f"group_by: {meter.slug} has too many groups; narrow from and to, filter, or group by less")
        return self._parts(meter, edges, groups, cells), others

    def of(self, meter: Meter, edges: Edges, groups: tuple[Group, ...]) -> UsageParts:
        """The parts with these groups; without any, the whole."""
        return self._parts(meter, edges, groups, self._few_cells(meter, edges))

    def _few_cells(self, meter: Meter, edges: Edges) -> Mapping[Group, Cells] | None:
        """The cells of all groups; None where they are too many, or cannot be merged."""
        if meter.aggregation is Aggregation.UNIQUE_COUNT:
            return None
        if (found := self._read_ahead.get((meter, edges))) is not None:
            return found
        most = _MOST_CELLS if meter.aggregation in _RANKED else _MOST_CELLS_UNRANKED
        try:
            return self._cells(self._query, (meter,), edges, most)[meter]
        except TooManyGroups:
            return None

    def _parts(
        self, meter: Meter, edges: Edges, groups: tuple[Group, ...], cells: Mapping[Group, Cells] | None
    ) -> UsageParts:
        count = len(edges) - 1
        absent = absent_series(meter, count)
        if cells is not None:
            chosen = frozenset(groups)
            others = [of_group for group, of_group in cells.items() if group not in chosen]
            return UsageParts(
                _series(meter, _together(meter, cells.values()), count),
                {group: _series(meter, cells.get(group, {}), count) for group in groups},
                _series(meter, _together(meter, others), count) if others and self._query.group_by else None,
            )
        among = GroupSet(self._query.group_by, groups)
        whole = replace(self._query, group_by=())
        found = self._each(replace(self._query, only=among), meter, edges) if groups else {}
        return UsageParts(
            self._each(whole, meter, edges).get((), absent),
            {group: found.get(group, absent) for group in groups},
            self._each(replace(whole, without=among), meter, edges).get(()) if self._query.group_by else None,
        )

    def _each(self, query: MeterQuery, meter: Meter, edges: Edges) -> Mapping[Group, Series]:
        """The series of each group that has events."""
        count = len(edges) - 1
        if meter.aggregation is not Aggregation.UNIQUE_COUNT:
            found = self._cells(query, (meter,), edges, None)[meter]
            return {group: _series(meter, cells, count) for group, cells in found.items()}
        # Windows do not tell which values they have in common: the total is counted on its own.
        totals = self._reader.measure(replace(query, meters=(meter,), edges=(edges[0], edges[-1])))
        values: dict[Group, list[Decimal | None]] = {each.group: [ZERO] * count for each in totals}
        for each in self._reader.measure(replace(query, meters=(meter,), edges=edges)) if count > 1 else totals:
            values[each.group][each.window] = each.value
        return {each.group: Series(each.value, tuple(values[each.group])) for each in totals}

    def _cells(
        self, query: MeterQuery, meters: tuple[Meter, ...], edges: Edges, most: int | None
    ) -> Mapping[Meter, Mapping[Group, Cells]]:
        """The cells of each meter and group; raises `TooManyGroups` for more than `most`."""
        found: dict[Meter, dict[Group, dict[int, Partial]]] = {meter: {} for meter in meters}
        most_groups = None if most is None else max(1, most // (len(edges) - 1))
        asked = replace(query, meters=meters, edges=edges, most_groups=most_groups)
        for (number, group, window), partial in self._reader.partials(asked).items():
            found[meters[number]].setdefault(group, {})[window] = partial
        return found


def absent_series(meter: Meter, count: int) -> Series:
    """The series of no events in so many windows."""
    return _series(meter, {}, count)


def _series(meter: Meter, cells: Cells, count: int) -> Series:
    """The series of so many windows."""
    absent = None if meter.aggregation.needs_an_event else ZERO
    total = merge_partials(meter.aggregation, cells.values())
    windows = [cells.get(window) for window in range(count)]
    return Series(
        absent if total is None else value_of(meter.aggregation, total),
        tuple(absent if each is None else value_of(meter.aggregation, each) for each in windows),
    )


def _together(meter: Meter, groups: Iterable[Cells]) -> Cells:
    """The cells of several groups, merged."""
    parts: dict[int, list[Partial]] = defaultdict(list)
    for cells in groups:
        for window, partial in cells.items():
            parts[window].append(partial)
    merged = {window: merge_partials(meter.aggregation, each) for window, each in parts.items()}
    return {window: each for window, each in merged.items() if each is not None}

"""Names of groups, which meters may have other paths for."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias, TypeVar

from ....domain.meter import GroupSet, Measure, Meter, MeterQuery
from ....domain.partial_aggregate import PartialKey, check_groups

V = TypeVar("V")
Part: TypeAlias = tuple[MeterQuery, Sequence[int]]
"""A query by paths, and the numbers that its meters have in the whole."""


def by_paths(query: MeterQuery) -> list[Part]:
    """The query with paths for names: one, or several where meters have other paths for a name."""
    if not any(meter.renamed for meter in query.meters) or not query.properties:
        return [(query, range(len(query.meters)))]
    alike: defaultdict[tuple[str, ...], list[int]] = defaultdict(list)
    for number, meter in enumerate(query.meters):
        alike[tuple(map(meter.path_of, query.properties))].append(number)
    return [(_translated(query, query.meters[numbers[0]], numbers), numbers) for numbers in alike.values()]


def measured(query: MeterQuery, measure: Callable[[MeterQuery], list[Measure]]) -> list[Measure]:
    """The measures of a query by names; `measure` answers for paths."""
    parts = by_paths(query)
    measures = [replace(each, meter=numbers[each.meter]) for asked, numbers in parts for each in measure(asked)]
    if len(parts) > 1:
        check_groups((each.group for each in measures), query.most_groups)
    return measures


def gathered(query: MeterQuery, read: Callable[[MeterQuery], Mapping[PartialKey, V]]) -> Mapping[PartialKey, V]:
    """What `read` answers for paths, of a query by names."""
    parts = by_paths(query)
    if len(parts) == 1:
        return read(parts[0][0])
    found = {
        (numbers[meter], group, window): value
        for asked, numbers in parts
        for (meter, group, window), value in read(asked).items()
    }
    check_groups((group for _, group, _ in found), query.most_groups)
    return found


def _translated(query: MeterQuery, meter: Meter, numbers: Sequence[int]) -> MeterQuery:
    def translated(groups: GroupSet | None) -> GroupSet | None:
        return None if groups is None else replace(groups, by=tuple(map(meter.path_of, groups.by)))

    return replace(
        query,
        meters=tuple(query.meters[number] for number in numbers),
        group_by=tuple(map(meter.path_of, query.group_by)),
        filters=tuple((meter.path_of(name), texts) for name, texts in query.filters),
        only=translated(query.only),
        without=translated(query.without),
    )

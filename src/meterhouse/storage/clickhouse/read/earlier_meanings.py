"""Meters that meant something else before: each meaning is read in its own time, and all are put together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import TypeAlias

from ....domain.errors import Invalid, TooManyGroups
from ....domain.meter import Measure, Meter, MeterQuery, Ranking
from ....domain.partial_aggregate import Partial, PartialKey, check_groups, merge_partials, value_of
from ....ports.meter_reader import MeasureFunction

ReadPartials: TypeAlias = Callable[[MeterQuery], Mapping[PartialKey, Partial]]
Edges: TypeAlias = tuple[datetime | None, ...]
_BEFORE_ALL, _AFTER_ALL = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_MOST_RANKED_GROUPS = 100_000
"""The most groups that are ranked: all of them leave the engine."""


class EarlierMeanings:
    """Answers queries of which a meter has meant something else before. All of them have parts that can be merged: see
    `services.catalog_changes`."""

    def __init__(self, read: ReadPartials, measure: MeasureFunction):
        """`read` and `measure` answer for meters of one meaning."""
        self._read = read
        self._measure = measure

    def partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        """See `ports.AggregateReader`."""
        parts: defaultdict[PartialKey, list[Partial]] = defaultdict(list)
        for asked, numbers, first in _apart(query):
            for (place, group, window), partial in self._read(asked).items():
                parts[numbers[place], group, first + window].append(partial)
        check_groups((group for _, group, _ in parts), query.most_groups)
        merged = {key: merge_partials(query.meters[key[0]].aggregation, found) for key, found in parts.items()}
        return {key: partial for key, partial in merged.items() if partial is not None}

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.AggregateReader`."""
        changed = [number for number, meter in enumerate(query.meters) if meter.earlier]
        asked = replace(query, meters=tuple(query.meters[number] for number in changed))
        measures = [
            Measure(window, value_of(asked.meters[place].aggregation, partial), group, meter=changed[place])
            for (place, group, window), partial in self.partials(asked).items()
        ]
        if plain := [number for number in range(len(query.meters)) if number not in changed]:
            found = self._measure(replace(query, meters=tuple(query.meters[number] for number in plain)))
            measures += [replace(each, meter=plain[each.meter]) for each in found]
        check_groups((each.group for each in measures), query.most_groups)
        return measures

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """See `ports.AggregateReader`. Raises `Invalid` for too many groups."""
        try:
            measures = self.measure(replace(query, most_groups=_MOST_RANKED_GROUPS))
        except TooManyGroups:
            raise Invalid(
                f"group_by: {query.meters[0].slug} has more than {_MOST_RANKED_GROUPS:,} groups, too many to be ranked "
                "over times in which it meant something else; narrow from and to, or filter"
            ) from None
        ordered = sorted(measures, key=lambda each: (each.value.copy_negate(), each.group))[:count]
        return Ranking(tuple(each.group for each in ordered), len(measures), tuple(each.value for each in ordered))


def _apart(query: MeterQuery) -> Iterator[tuple[MeterQuery, list[int], int]]:
    """The query as several, each of meters of one meaning: with the numbers of these meters in it, and the number of
    the window that is the first of each."""
    plain = [number for number, meter in enumerate(query.meters) if not meter.earlier]
    if plain:
        yield replace(query, meters=tuple(query.meters[number] for number in plain)), plain, 0
    for number, meter in enumerate(query.meters):
        for start, end, meaning in _times(meter) if meter.earlier else ():
            edges, first = _between(query.edges, start, end)
            if edges:
                yield replace(query, meters=(meaning,), edges=edges), [number], first


def _times(meter: Meter) -> Iterator[tuple[datetime | None, datetime | None, Meter]]:
    """From when to when a meter has meant what."""
    *earlier, now = (*((each.until, each.meter) for each in meter.earlier), (None, replace(meter, earlier=())))
    start = None
    for until, meaning in (*earlier, now):
        yield start, until, meaning
        start = until


def _between(edges: Edges, start: datetime | None, end: datetime | None) -> tuple[Edges, int]:
    """The edges of the windows as far as they are between two instants, and the number of the first of them; no edges
    where none is."""
    opening, ending = edges[0] or _BEFORE_ALL, edges[-1] or _AFTER_ALL
    bounds = [opening, *(edge for edge in edges[1:-1] if edge is not None), ending]
    cut = [min(max(edge, start or _BEFORE_ALL), end or _AFTER_ALL) for edge in bounds]
    inside = [window for window, (begin, finish) in enumerate(pairwise(cut)) if begin < finish]
    if not inside:
        return (), 0
    kept = cut[inside[0] : inside[-1] + 2]
    return tuple(None if edge in (_BEFORE_ALL, _AFTER_ALL) else edge for edge in kept), inside[0]

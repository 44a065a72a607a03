"""COUNT, SUM, MIN, MAX, AVG and LATEST: the meters that add up single events."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from ....domain.errors import TooManyGroups
from ....domain.meter import Measure, MeterQuery, Ranking, Top
from ....domain.partial_aggregate import Partial, PartialKey, check_groups
from ..engine.statement import ALL, RawScan
from ..rollups.definition import ReadPlan, RollupDefinition, definitions_for
from .evaluate import evaluate
from .measure_queries import EVENTS_AND_DRAFTS, MeasureQuery
from .partial_aggregates import PartialAggregates, ranked, ranking_of
from .result_cache import CachedResult, ResultCache
from .rollup_queries import RollupQuery, TopQuery
from .sources import Sources

_FEW_GROUPS = 1_000
"""Up to how many groups are ranked in memory; more are ranked in the engine."""


class SingleEvents:
    """Reads meters whose value is put together from partial aggregates of single events."""

    def __init__(self, sources: Sources):
        self._sources = sources
        self.cache: ResultCache[Mapping[PartialKey, Partial]] = ResultCache()

    def measure(self, query: MeterQuery) -> list[Measure]:
        """The meters as measures."""
        return self._merged(query).measures()

    def partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        """The meters as partial aggregates."""
        return self._merged(query).sums()

    def _merged(self, query: MeterQuery) -> PartialAggregates:
        """From the cached result and the events since, or from rollups and events."""
        question, generation = replace(query, as_of_commit=0), self.cache.generation
        cached = self.cache.find(question, query.as_of_commit)
        partials = PartialAggregates(query.meters, cached.answer if cached else {})
        if cached is None or not self._add_entries(partials, query, cached.commit):
            partials = self._read(query)
        sums = partials.sums()
        check_groups((group for _, group, _ in sums), query.most_groups)
        self.cache.keep(question, CachedResult(query.as_of_commit, sums, len(query.edges) + len(sums)), generation)
        return partials

    def _add_entries(self, partials: PartialAggregates, query: MeterQuery, after: int) -> bool:
        """Adds the events after a commit from memory; answers False when the engine has to tell of them."""
        entries = self._sources.entries_after(query, after)
        if entries is None:
            return False
        partials.add_contributions(evaluate(query, entries))
        return True

    def _read(self, query: MeterQuery) -> PartialAggregates:
        """The meters that are materialized the furthest from rollups, the others from the events."""
        partials, asked = PartialAggregates(query.meters), range(len(query.meters))
        definitions = [definitions_for(query, number) for number in asked]
        plan = self._sources.plan(query)
        with self._sources.rollups.reading():
            marks = [self._sources.watermark_for(query, each, plan) for each in definitions]
            watermark = max(marks)
            rolled_up = [number for number in asked if watermark and marks[number] == watermark]
            if rolled_up and plan.slot_ranges:
                readers: dict[RollupDefinition, list[int]] = defaultdict(list)  # meters may share a definition
                for number in rolled_up:
                    for each in definitions[number]:
                        readers[each].append(number)
                self._add_rolled_up(partials, query, readers, plan)
        others = [number for number in asked if number not in rolled_up]
        if rolled_up:
            added = not others and self._add_entries(partials, query, watermark)
            for scan in self._sources.raw_scans(query, watermark, plan, since=not added):
                self.add_events(partials, query, rolled_up, scan)
        if others:
            self.add_events(partials, query, others, ALL)
        return partials

    def _add_rolled_up(
        self,
        partials: PartialAggregates,
        query: MeterQuery,
        readers: Mapping[RollupDefinition, Sequence[int]],
        plan: ReadPlan,
    ) -> None:
        by_id, groups = {each.id: each for each in readers}, len(query.group_by)
        statement = RollupQuery(query, list(readers), plan)
        rows = self._sources.direct_rows(statement)
        check_groups((tuple(row[2 : groups + 2]) for row in rows), query.most_groups)
        for series, edge, *columns in rows:
            group, events, terms = tuple(columns[:groups]), columns[groups], columns[groups + 1 :]
            kind = statement.kinds.index(by_id[series].kind)
            for number in readers[by_id[series]]:
                partials.add(number, statement.windows[edge], group, events, terms[kind])

    def add_events(
        self,
        partials: PartialAggregates,
        query: MeterQuery,
        numbers: Sequence[int],
        scan: RawScan,
        table: str = "events",
    ) -> None:
        """Adds what the events of a scan come to for some of the query's meters."""
        groups = len(query.group_by)
        asked = replace(query, meters=tuple(query.meters[number] for number in numbers))
        corrected = self._sources.corrected(query) or table != "events"
        statement = MeasureQuery(asked, scan, corrected=corrected, table=table)
        rows = self._sources.direct_rows(statement) if scan.within and not corrected else self._sources.rows(statement)
        check_groups((tuple(row[1 : groups + 1]) for row in rows), query.most_groups)
        for edge, *texts in rows:
            group, values = tuple(texts[:groups]), texts[groups:]
            for place, number in enumerate(numbers):
                terms, events = values[2 * place : 2 * place + 2]
                partials.add(number, statement.windows[edge], group, events, terms)

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        """See `ports.MeterReader`."""
        try:  # few groups stay in memory, and are ranked without the engine
            return ranked(self.measure(replace(query, most_groups=_FEW_GROUPS)), len(query.meters), count)
        except TooManyGroups:
            return [(group, tuple(map(Decimal, values))) for group, *values, _ in self._top(query, count)]

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """See `ports.MeterReader`."""
        return ranking_of(self._top(query, count), len(query.group_by))

    def _top(self, query: MeterQuery, count: int) -> list[list[Any]]:
        """The rows of a `TopQuery`."""
        definitions = [definitions_for(query, number) for number in range(len(query.meters))]
        plan = self._sources.plan(query)
        with self._sources.rollups.reading():
            every = [one for each in definitions for one in each]
            watermark = self._sources.watermark_for(query, every, plan) if all(definitions) else 0
            scans = self._sources.raw_scans(query, watermark, plan) if watermark else [ALL]
            plan = plan if watermark else ReadPlan((), ())
            if not count or not (scans or plan.slot_ranges):
                return []
            corrected = self._sources.corrected(query)
            return self._sources.rows(TopQuery(query, count, definitions, plan, scans, corrected=corrected))

    def measure_drafts(self, query: MeterQuery) -> list[Measure]:
        """What the events and the drafts of a preview come to together."""
        return self._with_drafts(query).measures()

    def partials_with_drafts(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        """The same as partial aggregates."""
        return self._with_drafts(query).sums()

    def _with_drafts(self, query: MeterQuery) -> PartialAggregates:
        partials = PartialAggregates(query.meters)
        self.add_events(partials, query, range(len(query.meters)), ALL, EVENTS_AND_DRAFTS)
        return partials

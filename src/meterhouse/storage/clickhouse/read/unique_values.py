"""UNIQUE_COUNT: how many different values there are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import replace
from decimal import Decimal

from ....domain.meter import Measure, MeterQuery, Ranking
from ....domain.partial_aggregate import PartialKey, check_groups
from ....domain.slot import slot_begin
from ..engine.instants import micros
from ..engine.statement import ALL, RawScan
from ..rollups.definition import ReadPlan, RollupDefinition, definitions_for
from .distinct_counts import DistinctCount, Found, values_in
from .partial_aggregates import Windows, few_of, ranking_of
from .result_cache import CachedResult, ResultCache
from .sources import Sources
from .unique_queries import (
    DifferentValues,
    RankedValuesQuery,
    RolledUpValues,
    UniqueQuery,
    ValuesInSlots,
    ValuesQuery,
)


class UniqueValues:
    """Reads one UNIQUE_COUNT at a time."""

    def __init__(self, sources: Sources):
        self._sources = sources
        self.cache: ResultCache[DistinctCount] = ResultCache()

    def measure(self, query: MeterQuery) -> list[Measure]:
        """The number of different values in each window and group of the query, which has one meter."""
        if query.organization is None or query.group_by or query.filters or query.only or query.without:
            return self._measure_values(query)
        definitions, plan = definitions_for(query, 0), self._sources.plan(query)
        with self._sources.rollups.reading():
            if watermark := self._sources.watermark_for(query, definitions, plan):
                [definition] = definitions
                if not plan.raw_ranges and (values := self._values(query, definition, watermark, plan)) is not None:
                    return [Measure(window, Decimal(count)) for window, count in values.counts.items() if count]
                scans = self._sources.raw_scans(query, watermark, plan)
                corrected = self._sources.corrected(query)
                statement = UniqueQuery(query, definition, plan.slot_ranges, scans, corrected=corrected)
                rows = self._sources.rows(statement)
                return [Measure(statement.windows[edge], Decimal(values)) for edge, values in rows if values]
        return self._measure_values(query)

    def distinct(self, query: MeterQuery) -> Mapping[PartialKey, Set[str]]:
        """The different values in each group and window of the query, which has one meter."""
        with self._sources.rollups.reading():
            corrected = self._sources.corrected(query)
            statement = DifferentValues(query, *self._read_from(query), corrected=corrected)
            rows = self._sources.rows(statement)
        return {(0, tuple(group), statement.windows[edge]): frozenset(values) for edge, *group, values in rows}

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """See `ports.MeterReader`."""
        with self._sources.rollups.reading():
            corrected = self._sources.corrected(query)
            rows = self._sources.rows(RankedValuesQuery(query, count, *self._read_from(query), corrected=corrected))
        return ranking_of(rows, len(query.group_by))

    def _measure_values(self, query: MeterQuery) -> list[Measure]:
        with self._sources.rollups.reading():
            corrected = self._sources.corrected(query)
            statement = ValuesQuery(query, *self._read_from(query), corrected=corrected)
            rows = self._sources.rows(statement)
        check_groups((tuple(row[1:-1]) for row in rows), query.most_groups)
        return [Measure(statement.windows[edge], Decimal(count), tuple(group)) for edge, *group, count in rows]

    def _read_from(self, query: MeterQuery) -> tuple[Sequence[RollupDefinition], ReadPlan, Sequence[RawScan]]:
        """The rollups, if they can answer the query, and the events that are read beside them."""
        definitions, plan = definitions_for(query, 0), self._sources.plan(query)
        if watermark := self._sources.watermark_for(query, definitions, plan):
            return definitions, plan, self._sources.raw_scans(query, watermark, plan)
        return (), plan, [ALL]

    def _values(
        self, query: MeterQuery, definition: RollupDefinition, watermark: int, whole: ReadPlan
    ) -> DistinctCount | None:
        """From the cached result or whole slots, and the events since; None when the memtable does not have them."""
        question, generation = replace(query, as_of_commit=0), self.cache.generation
        cached = self.cache.find(question, query.as_of_commit)
        reached = watermark if cached is None or cached.commit < watermark else cached.commit
        if (entries := self._sources.entries_after(query, reached)) is None:
            return None
        found = values_in(query, entries)
        if cached is None or cached.commit < watermark:
            statement = UniqueQuery(query, definition, whole.slot_ranges, (), corrected=False)
            rows = self._sources.direct_rows(statement)
            values = DistinctCount({statement.windows[edge]: count for edge, count in rows}, {})
        else:
            values = cached.answer
        values = values.advance(
            found, watermark, lambda unseen: self._rolled_up_values(query, definition, whole, unseen)
        )
        self.cache.keep(question, CachedResult(query.as_of_commit, values, len(query.edges) + values.cost), generation)
        return values

    def _rolled_up_values(
        self, query: MeterQuery, definition: RollupDefinition, whole: ReadPlan, wanted: Iterable[Found]
    ) -> set[Found]:
        """Which of some values the rollups have in their windows."""
        windows, slots = Windows(query), dict[str, tuple[int, int]]()
        wanted = [*wanted]
        for few in few_of(dict.fromkeys(value for _, value in wanted)):
            statement = RolledUpValues(query, definition, few)
            slots |= {value: (first, last) for value, first, last in self._sources.direct_rows(statement)}
        found = {
            (window, value)
            for window, value in wanted
            if value in slots and window in [windows.at(micros(slot_begin(slot))) for slot in slots[value]]
        }
        several = [
            value for window, value in wanted if (window, value) not in found and len({*slots.get(value, ())}) > 1
        ]
        for few in few_of(dict.fromkeys(several)):
            between = ValuesInSlots(query, definition, whole.slot_ranges, few)
            found |= {(between.windows[edge], value) for edge, value in self._sources.direct_rows(between)}
        return found

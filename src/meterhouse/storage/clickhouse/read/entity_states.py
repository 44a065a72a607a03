"""STATE_COUNT: how many entities are in each state."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal
from functools import partial

from ....domain.meter import Measure, MeterQuery
from ..rollups.definition import ReadPlan, RollupDefinition, definitions_for, plan_read
from .distinct_counts import StateCount, entities_in
from .entity_queries import CountedStates, FreshEntities, RolledUpEntities
from .measure_queries import EVENTS_AND_DRAFTS, StateQuery, moment_of
from .partial_aggregates import Entity, StateCounts, counted, entities_of, few_of
from .result_cache import CachedResult, ResultCache
from .sources import Sources


class EntityStates:
    """Reads one STATE_COUNT at a time."""

    def __init__(self, sources: Sources):
        self._sources = sources
        self.cache: ResultCache[StateCount] = ResultCache()

    def measure(self, query: MeterQuery) -> list[Measure]:
        """The entities in each window by group and state; the query has one meter."""
        definitions = definitions_for(query, 0)
        plan = plan_read((None, None) if moment_of(query)[1] else query.edges)
        # The state of an entity depends on every event about it: one voided event takes all of them.
        corrected = self._sources.corrected(query)
        with self._sources.rollups.reading():
            if not corrected and (watermark := self._sources.watermark_for(query, definitions, plan)):
                return self._counted_states(query, definitions[0], watermark, plan)
        return self._states(StateQuery(query, corrected=corrected))

    def _states(self, statement: StateQuery) -> list[Measure]:
        return [
            Measure(statement.windows[edge], Decimal(count), tuple(group), state)
            for edge, *group, state, count in self._sources.rows(statement)
        ]

    def _counted_states(
        self, query: MeterQuery, definition: RollupDefinition, watermark: int, plan: ReadPlan
    ) -> list[Measure]:
        """From what was kept and the events since, or from whole slots and what they lack."""
        question, generation = replace(query, as_of_commit=0), self.cache.generation
        cached = self.cache.find(question, query.as_of_commit)
        if cached is not None and cached.commit < watermark:
            cached = None
        reached = cached.commit if cached else watermark
        entries = self._sources.entries_after(query, reached)
        found = None if entries is None else entities_in(query, entries)
        if cached is None or found is None:
            entities = self._read_entities(query, definition, watermark, plan, since=found is None)
        else:
            entities = cached.answer
        if found is not None:
            entities = entities.advance(query, found, watermark, partial(self._rolled_up_entities, query, definition))
            self.cache.keep(
                question, CachedResult(query.as_of_commit, entities, len(query.edges) + entities.cost), generation
            )
        return counted(entities.counts)

    def _read_entities(
        self, query: MeterQuery, definition: RollupDefinition, watermark: int, plan: ReadPlan, *, since: bool
    ) -> StateCount:
        """The entities from the rollups, and with `since` from the events after the watermark."""
        statement = CountedStates(query, definition, plan.slot_ranges)
        counts = StateCounts(query, plan.slot_ranges)
        for edge, *group, state, count in self._sources.direct_rows(statement):
            counts.add(statement.windows[edge], tuple(group), state, count)
        if scans := self._sources.raw_scans(query, watermark, plan, since=since):
            fresh = entities_of(self._sources.rows(FreshEntities(query, definition, scans)))
            rolled_up = self._rolled_up_entities(query, definition, fresh)
            for name, entity in fresh.items():
                counts.move(entity, rolled_up.get(name))
        return StateCount(counts.counts, {})

    def _rolled_up_entities(
        self, query: MeterQuery, definition: RollupDefinition, names: Iterable[str]
    ) -> dict[str, Entity]:
        rolled_up = dict[str, Entity]()
        for few in few_of(names):
            rolled_up |= entities_of(self._sources.direct_rows(RolledUpEntities(query, definition, few)))
        return rolled_up

    def measure_drafts(self, query: MeterQuery) -> list[Measure]:
        """What the events and the drafts of a preview come to together."""
        return self._states(StateQuery(query, corrected=True, table=EVENTS_AND_DRAFTS))

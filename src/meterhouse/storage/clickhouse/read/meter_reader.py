"""Meters, read: each aggregation by the reader that knows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Set
from dataclasses import replace
from decimal import Decimal
from typing import TypeVar

import structlog

from ....domain.meter import Aggregation, Measure, MeterQuery, Ranking, Top
from ....domain.partial_aggregate import Partial, PartialKey, check_groups, check_values
from ..engine.engine import DamagedStorage
from ..rollups.rollups import Rollups
from .earlier_meanings import EarlierMeanings
from .entity_states import EntityStates
from .group_names import by_paths, gathered, measured
from .partial_aggregates import ranked
from .single_events import SingleEvents
from .sources import Sources
from .unique_values import UniqueValues

Answer = TypeVar("Answer")

_log = structlog.get_logger(__name__)


class MeterReader:
    """Answers meter queries from rollups, events and the memtable."""

    def __init__(self, sources: Sources):
        """Forgets cached results whenever the rollups are dropped."""
        self._rollups: Rollups = sources.rollups
        self._single_events = SingleEvents(sources)
        self._unique_values = UniqueValues(sources)
        self._entity_states = EntityStates(sources)
        self._earlier = EarlierMeanings(self._partials, self._measure)
        for reader in (self._single_events, self._unique_values, self._entity_states):
            self._rollups.on_rebuild.append(reader.cache.clear)

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.MeterReader`."""
        reading = self._earlier.measure if _meant_else(query) else self._measure
        return measured(query, lambda asked: self._answer(reading, asked))

    def partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        """See `ports.MeterReader`."""
        reading = self._earlier.partials if _meant_else(query) else self._partials
        return gathered(query, lambda asked: self._answer(reading, asked))

    def distinct(self, query: MeterQuery) -> Mapping[PartialKey, Set[str]]:
        """See `ports.MeterReader`."""
        return gathered(query, lambda asked: self._answer(self._distinct, asked))

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        """See `ports.MeterReader`."""
        parts = by_paths(query)
        if _meant_else(query) or len(parts) > 1:
            return ranked(self.measure(query), len(query.meters), count)
        return self._answer(lambda asked: self._single_events.top(asked, count), parts[0][0])

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """See `ports.MeterReader`."""
        [(query, _)] = by_paths(query)  # it has one meter
        if _meant_else(query):
            return self._answer(lambda asked: self._earlier.rank(asked, count), query)
        unique = query.meters[0].aggregation is Aggregation.UNIQUE_COUNT
        reader = self._unique_values if unique else self._single_events
        return self._answer(lambda asked: reader.rank(asked, count), query)

    def _answer(self, reading: Callable[[MeterQuery], Answer], query: MeterQuery) -> Answer:
        """The answer. Where a rollup is damaged, drops all of them and answers from the events."""
        try:
            return reading(query)
        except DamagedStorage as failure:
            if not self._rollups.any_materialized():
                raise
            _log.error("rollups or events are damaged: rollups are made anew, and events asked", exc_info=failure)
            self._rollups.rebuild()
            return reading(query)

    def _measure(self, query: MeterQuery) -> list[Measure]:
        if query.meters[0].aggregation is Aggregation.STATE_COUNT:
            return self._entity_states.measure(query)
        singles = [n for n, meter in enumerate(query.meters) if meter.aggregation is not Aggregation.UNIQUE_COUNT]
        if len(singles) == len(query.meters):
            return self._single_events.measure(query)
        measures: list[Measure] = []
        for number, meter in enumerate(query.meters):
            if number not in singles:
                values = self._unique_values.measure(replace(query, meters=(meter,)))
                measures += [replace(measure, meter=number) for measure in values]
        if singles:
            values = self._single_events.measure(replace(query, meters=tuple(query.meters[n] for n in singles)))
            measures += [replace(measure, meter=singles[measure.meter]) for measure in values]
        return measures

    def _partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        if query.meters[0].aggregation is not Aggregation.STATE_COUNT:
            return self._single_events.partials(query)
        [meter] = query.meters
        entities: Counter[PartialKey] = Counter()
        for measure in self._entity_states.measure(query):
            if not meter.counted_states or measure.state in meter.counted_states:
                entities[0, measure.group, measure.window] += int(measure.value)
        check_groups((group for _, group, _ in entities), query.most_groups)
        return {key: Partial(count, Decimal(count)) for key, count in entities.items()}

    def _distinct(self, query: MeterQuery) -> Mapping[PartialKey, Set[str]]:
        values: dict[PartialKey, Set[str]] = {}
        for number, meter in enumerate(query.meters):
            found = self._unique_values.distinct(replace(query, meters=(meter,)))
            values |= {(number, group, window): texts for (_, group, window), texts in found.items()}
        check_groups((group for _, group, _ in values), query.most_groups)
        check_values(values, query.most_values)
        return values

    def measure_drafts(self, query: MeterQuery) -> list[Measure]:
        """What `measure` would answer of the events and the drafts of a preview together."""
        return measured(query, self._measure_drafts)

    def _measure_drafts(self, query: MeterQuery) -> list[Measure]:
        if query.meters[0].aggregation is Aggregation.STATE_COUNT:
            return self._entity_states.measure_drafts(query)
        if _meant_else(query):
            with_drafts = EarlierMeanings(self._single_events.partials_with_drafts, self._single_events.measure_drafts)
            return with_drafts.measure(query)
        return self._single_events.measure_drafts(query)


def _meant_else(query: MeterQuery) -> bool:
    """Whether one of the meters has meant something else before."""
    return any(meter.earlier for meter in query.meters)

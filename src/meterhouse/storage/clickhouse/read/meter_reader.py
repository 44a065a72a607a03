"""Meters, read: each aggregation by the reader that knows it."""

from __future__ import annotations

from dataclasses import replace

import structlog

from ....domain.meter import Aggregation, Measure, MeterQuery, Top
from ..engine.engine import DamagedStorage
from ..rollups.rollups import Rollups
from .entity_states import EntityStates
from .single_events import SingleEvents
from .sources import Sources
from .unique_values import UniqueValues

_log = structlog.get_logger(__name__)


class MeterReader:
    """Answers meter queries from rollups, events and the memtable."""

    def __init__(self, sources: Sources):
        """Forgets cached results whenever the rollups are dropped."""
        self._rollups: Rollups = sources.rollups
        self._single_events = SingleEvents(sources)
        self._unique_values = UniqueValues(sources, self._single_events)
        self._entity_states = EntityStates(sources)
        for reader in (self._single_events, self._unique_values, self._entity_states):
            self._rollups.on_rebuild.append(reader.cache.clear)

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.MeterReader`. Where a rollup is damaged, drops all of them and answers from the events."""
        try:
            return self._measure(query)
        except DamagedStorage as failure:
            if not self._rollups.any_materialized():
                raise
            _log.error("rollups or events are damaged: rollups are made anew, and events asked", exc_info=failure)
            self._rollups.rebuild()
            return self._measure(query)

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

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        """See `ports.MeterReader`."""
        return self._single_events.top(query, count)

    def measure_drafts(self, query: MeterQuery) -> list[Measure]:
        """What `measure` would answer of the events and the drafts of a preview together."""
        if query.meters[0].aggregation is Aggregation.STATE_COUNT:
            return self._entity_states.measure_drafts(query)
        return self._single_events.measure_drafts(query)

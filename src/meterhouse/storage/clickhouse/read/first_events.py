"""The time of an organization's first event."""

from __future__ import annotations

from datetime import datetime

from ..corrections.dirty_slots import DirtySlots
from ..engine.engine import Engine
from ..engine.instants import instant
from ..memtable.last_commits import LastCommits
from ..memtable.memtable import Memtable
from ..rollups.definition import Kind, RollupDefinition
from ..rollups.rollups import Rollups
from .evaluate import first_of
from .event_queries import FirstEventQuery
from .result_cache import CachedResult, ResultCache
from .rollup_queries import FirstQuery


class FirstEvents:
    """Answers from memory, from rollups and the events since, or from the events where some were voided."""

    def __init__(
        self,
        engine: Engine,
        rollups: Rollups,
        dirty_slots: DirtySlots,
        memtable: Memtable,
        last_commits: LastCommits,
    ):
        """Forgets what is cached whenever the rollups are dropped."""
        self._engine = engine
        self._dirty_slots = dirty_slots
        self._memtable = memtable
        self._last_commits = last_commits
        self._rollups = rollups
        self._cached: ResultCache[int | None] = ResultCache()
        rollups.on_rebuild.append(self._cached.clear)

    def at(self, namespace: str, organization: str) -> datetime | None:
        """See `ports.MeterReader.first_event_at`."""
        whose, generation, upto = (namespace, organization), self._cached.generation, self._memtable.latest
        cached = self._cached.find(whose, upto)
        if cached is not None and self._last_commits.of(namespace, organization) <= cached.commit:
            first = cached.answer
        elif cached is not None and (memtable := self._memtable.scan(whose, cached.commit, upto)) is not None:
            times = (cached.answer, first_of(memtable))
            first = min((time for time in times if time is not None), default=None)
        else:
            first = self._read(namespace, organization)
        self._cached.keep(whose, CachedResult(upto, first, 1), generation)
        return None if first is None else instant(first)

    def _read(self, namespace: str, organization: str) -> int | None:
        if self._dirty_slots.of(namespace, organization):
            events = FirstEventQuery(namespace, organization)
            [[earliest, count]] = self._engine.rows(events.sql, events.parameters)
        else:
            definition = RollupDefinition(namespace, Kind.FIRST)
            with self._rollups.reading():
                watermark = self._rollups.watermark_of(definition)
                newer = self._last_commits.of(namespace, organization) > watermark
                definitions_for = FirstQuery(definition, organization, watermark if newer else None)
                [[earliest, count]] = self._engine.rows(definitions_for.sql, definitions_for.parameters)
        return earliest if count else None

"""When an organization's first event was."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from . import queries
from .engine import Engine
from .held_events import HeldEvents
from .held_measures import first_of
from .kept_answers import Kept, KeptAnswers
from .last_commits import LastCommits
from .masks import Masks
from .queries import FirstEventQuery
from .rollup_queries import FirstQuery
from .series import Kind, Series
from .shared_table import SharedTable


class FirstEvents:
    """Told from memory, from rollups and what came since, or from the events where some were voided."""

    def __init__(
        self,
        engine: Engine,
        masks: Masks,
        held: HeldEvents,
        last_commits: LastCommits,
        *,
        table: SharedTable,
        watermark_of: Callable[[Series], int],
    ):
        """`table` is that of the rollups."""
        self._engine = engine
        self._masks = masks
        self._held = held
        self._last_commits = last_commits
        self._table = table
        self._watermark_of = watermark_of
        self._kept: KeptAnswers[int | None] = KeptAnswers()

    def forget_all(self) -> None:
        """See `KeptAnswers`."""
        self._kept.forget_all()

    def at(self, namespace: str, organization: str) -> datetime | None:
        """See `ports.EventStore.first_event_at`."""
        whose, age, upto = (namespace, organization), self._kept.age, self._held.latest
        kept = self._kept.find(whose, upto)
        if kept is not None and self._last_commits.of(namespace, organization) <= kept.commit:
            first = kept.answer
        elif kept is not None and (held := self._held.between(whose, kept.commit, upto)) is not None:
            times = (kept.answer, first_of(held))
            first = min((time for time in times if time is not None), default=None)
        else:
            first = self._read(namespace, organization)
        self._kept.keep(whose, Kept(upto, first, 1), age)
        return None if first is None else queries.instant(first)

    def _read(self, namespace: str, organization: str) -> int | None:
        if self._masks.of(namespace, organization):
            events = FirstEventQuery(namespace, organization)
            [[earliest, count]] = self._engine.rows(events.sql, events.parameters)
        else:
            series = Series(namespace, Kind.FIRST)
            with self._table.reading():
                watermark = self._watermark_of(series)
                newer = self._last_commits.of(namespace, organization) > watermark
                rolled_up = FirstQuery(series, organization, watermark if newer else None)
                [[earliest, count]] = self._engine.rows(rolled_up.sql, rolled_up.parameters)
        return earliest if count else None

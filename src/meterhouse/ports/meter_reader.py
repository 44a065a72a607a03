"""Answering meters: for usage, contracts and previews."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from ..domain.event import Event
from ..domain.meter import Measure, MeterQuery, Ranking, Top
from ..domain.partial_aggregate import Partial, PartialKey

MeasureFunction = Callable[[MeterQuery], list[Measure]]
"""Answers a query, as `MeterReader.measure` does."""


class MeterReader(Protocol):
    """Answers meter queries exactly."""

    def measure(self, query: MeterQuery) -> list[Measure]:
        """Answers the query, in no particular order; windows and groups without events of a meter are absent. Sums
        never round. LATEST takes the event with the greatest time, among equals the last stored. STATE_COUNT takes each
        entity's latest event by the same rule, and counts the entity in the window that holds the moment of the query's
        state window (`NOW` puts every entity in window 0). Events that are voided as of the query's commit do not
        count."""
        ...

    def partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        """What the events of each meter, group and window come to, to be merged with others. For every aggregation but
        UNIQUE_COUNT, whose parts do not tell what they have in common; a STATE_COUNT is asked alone, and counts its
        counted states."""
        ...

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """The groups with most of the query's one meter, at most `count`. The query has one window; the meter is a
        COUNT, SUM, MIN, MAX or UNIQUE_COUNT. Only the ranked groups leave the engine."""
        ...

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        """The groups with most of the query's first meter, at most `count`, in order: among equals by the second meter
        and so on, then by name. The query has one window, one group property, and only COUNT and SUM. The cost hardly
        grows with the number of groups: only the answered ones leave the engine."""
        ...

    def first_event_at(self, namespace: str, organization: str) -> datetime | None:
        """The earliest `time` among the organization's events that are not voided."""
        ...

    def preview(self, events: Sequence[Event]) -> AbstractContextManager[tuple[int, MeasureFunction]]:
        """The latest commit, and a function that answers queries as if these events, whose identities are new, had been
        its last. Stores nothing. One preview at a time; others wait."""
        ...

"""Answering meters as aggregates: what can be answered of several stores together."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Protocol

from ..domain.meter import Measure, MeterQuery, Ranking
from ..domain.partial_aggregate import Partial, PartialKey


class AggregateReader(Protocol):
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

    def distinct(self, query: MeterQuery) -> Mapping[PartialKey, Set[str]]:
        """The different values of each meter, group and window, to be united with others: as many as `measure` counts.
        The meters are UNIQUE_COUNTs. Its cost grows with the number of values, all of which leave the engine."""
        ...

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """The groups with most of the query's one meter, at most `count`. The query has one window; the meter is a
        COUNT, SUM, MIN, MAX or UNIQUE_COUNT. Only the ranked groups leave the engine."""
        ...

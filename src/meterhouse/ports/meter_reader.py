"""Answering meters: for usage, contracts and previews."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from ..domain.event import Event
from ..domain.meter import Measure, MeterQuery, Top
from .aggregate_reader import AggregateReader

MeasureFunction = Callable[[MeterQuery], list[Measure]]
"""Answers a query, as `MeterReader.measure` does."""


class MeterReader(AggregateReader, Protocol):
    """Answers meter queries exactly, and what only one store can tell."""

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

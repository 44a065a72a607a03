"""Forecasting what organizations will have used when their usage periods end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from threading import Lock
from typing import TypeAlias

from cachetools import LRUCache

from ..domain.forecast import HISTORY_HOURS, Forecast, Outlook, forecast, outlook
from ..domain.meter import Aggregation, Meter
from ..domain.summary import UsageSummary
from .organization_usage import OrganizationUsage

_ADDED_UP = (Aggregation.COUNT, Aggregation.SUM)
_HOUR = timedelta(hours=1)
_MOST_NUMBERS = 500_000
"""In all outlooks that are cached: some 25 MB, or a thousand organizations with three meters."""

_Question: TypeAlias = tuple[str, datetime, datetime, tuple[Meter, ...]]
"""Organization, hour, end of the usage period, meters."""


@dataclass(frozen=True, slots=True)
class _Outlooks:
    """The outlooks of an organization's meters, by slug, and the commit that they were read at."""

    by_meter: Mapping[str, Outlook]
    commit: int

    @property
    def numbers(self) -> int:
        """How much memory they take, in numbers."""
        return 10 + sum(len(each.expected) for each in self.by_meter.values())


class Forecasts:
    """Forecasts from the last eight weeks. They are read once an hour for each organization, and once more whenever one
    without any past gets events."""

    def __init__(self) -> None:
        self._cached: LRUCache[_Question, _Outlooks] = LRUCache(_MOST_NUMBERS, lambda each: each.numbers)
        self._lock = Lock()

    def of(self, usage: OrganizationUsage, summary: UsageSummary, *, as_of: bool) -> Mapping[str, Forecast]:
        """The forecasts by meter, of those that have one: meters that add up, in a usage period that has an end and is
        not over, with at least a day of a past. `as_of` says that the usage is that of an earlier moment: nothing
        cached is used then."""
        meters = tuple(each.meter for each in summary.meters if each.meter.aggregation in _ADDED_UP)
        end = summary.period.end
        if not meters or end is None or not summary.period.contains(usage.now):
            return {}
        hour = usage.now.replace(minute=0, second=0, microsecond=0)
        question = (usage.organization.id, hour, end, meters)
        outlooks = _read(usage, question) if as_of else self._outlooks(usage, question)
        return {
            each.meter.slug: forecast(outlooks.by_meter[each.meter.slug], each.used, each.limit, usage.now)
            for each in summary.meters
            if each.meter.slug in outlooks.by_meter and each.used is not None
        }

    def _outlooks(self, usage: OrganizationUsage, question: _Question) -> _Outlooks:
        with self._lock:
            found = self._cached.get(question)
        last = usage.store.last_commit_of(usage.organization.namespace, usage.organization.id)
        if found is not None and (found.by_meter or last <= found.commit):
            return found
        outlooks = _read(usage, question)
        if outlooks.numbers <= _MOST_NUMBERS:
            with self._lock:
                self._cached[question] = outlooks
        return outlooks


def _read(usage: OrganizationUsage, question: _Question) -> _Outlooks:
    _, hour, end, meters = question
    edges = [hour + back * _HOUR for back in range(-HISTORY_HOURS, 1)]
    pasts = usage.windows([meter.slug for meter in meters], edges)
    found = {meter.slug: outlook(past, hour, end) for meter, past in zip(meters, pasts, strict=True)}
    return _Outlooks({slug: each for slug, each in found.items() if each is not None}, usage.commit)

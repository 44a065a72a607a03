"""Who has used most of a limit, among very many organizations."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from threading import Lock

from ..domain.catalog import Catalog
from ..domain.organization import Organization
from ..domain.plan import limit_of, usage_period
from ..domain.quantity import divide
from ..domain.summary import MeterSummary
from ..domain.usage_query import ORGANIZATION, UsageQuery
from .organization_usage import OrganizationUsage
from .usage import Usage
from .usage_queries import UsageQueries

ABOVE_PERCENT = 80
_SPAN = timedelta(days=31)
_LARGEST = 200
"""How many organizations of each meter are looked at: those that used most of it lately."""
_MOST_SHOWN = 20
_METERS_AT_ONCE = 20
_KEPT_NS = 15_000_000_000


@dataclass(frozen=True, slots=True)
class NearLimit:
    """An organization that has used most of what it may, or more."""

    organization: Organization
    summary: MeterSummary


class NearingLimits:
    """Finds them. Looked at are those that used most of a meter in the last 31 days, by the part of their limit this
    is; they are judged by what they have used in their own usage period, exactly. An answer is kept for some seconds.
    """

    def __init__(self, queries: UsageQueries, usage: Usage, monotonic_ns: Callable[[], int] = time.monotonic_ns):
        self._queries = queries
        self._usage = usage
        self._monotonic_ns = monotonic_ns
        self._lock = Lock()
        self._found: list[NearLimit] = []
        self._found_at_ns: int | None = None

    def above(self) -> list[NearLimit]:
        """Those above 80 % of a limit, the fullest first."""
        with self._lock:
            now_ns = self._monotonic_ns()
            if self._found_at_ns is None or now_ns - self._found_at_ns >= _KEPT_NS:
                self._found, self._found_at_ns = self._find(), now_ns
            return self._found

    def _find(self) -> list[NearLimit]:
        likely = sorted(
            ((part, name, slug) for catalog in self._usage.catalogs for part, name, slug in self._likely(catalog)),
            reverse=True,
        )
        found = []
        for _, name, slug in likely[: 2 * _MOST_SHOWN]:
            organization = self._usage.ledger.organization(name)
            if organization is None or organization.deleted_at is not None:
                continue
            summary = self._usage_of(organization).meter_summary(slug)
            if summary.percent is not None and summary.percent >= ABOVE_PERCENT:
                found.append(NearLimit(organization, summary))
        return sorted(found, key=lambda near: near.summary.percent or 0, reverse=True)[:_MOST_SHOWN]

    def _usage_of(self, organization: Organization) -> OrganizationUsage:
        """Of an organization in any shard."""
        snapshot = self._queries.snapshots.snapshot(organization.namespace, (organization.id,), None)
        now = self._usage.clock.now()
        return self._usage.reader(organization, now, snapshot.commit, snapshot.reader.measure)

    def _likely(self, catalog: Catalog) -> Iterator[tuple[Decimal, str, str]]:
        """How much of a limit an organization may have used, its id, and the meter."""
        now = self._usage.clock.now()
        slugs = [*catalog.meters]
        for first in range(0, len(slugs), _METERS_AT_ONCE):
            asked = tuple(slugs[first : first + _METERS_AT_ONCE])
            query = UsageQuery(asked, start=now - _SPAN, end=now, group_by=(ORGANIZATION,), top=_LARGEST)
            for answer in self._queries.answer(query, catalog.namespace, ()).meters:
                for each in answer.groups or ():
                    name, used = each.group[ORGANIZATION], each.figures.total
                    limit = self._limit(catalog, name, answer.meter.slug, now)
                    if used is not None and limit:
                        yield divide(used, limit), name, answer.meter.slug

    def _limit(self, catalog: Catalog, name: str, slug: str, now: datetime) -> Decimal | None:
        subscription = self._usage.ledger.subscription(name)
        if any(grant.meter == slug for grant in self._usage.ledger.grants(name)):
            organization = self._usage.ledger.organization(name)
            return self._usage_of(organization).limit(slug) if organization is not None else None
        plan = self._usage.catalogs.plan(catalog.namespace, subscription)
        return limit_of(subscription, plan, catalog.meters[slug], usage_period(subscription, now))

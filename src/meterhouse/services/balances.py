"""Balances of an organization, from its grants and the same state of the store that its usage is answered from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from typing import TYPE_CHECKING

from ..domain.balance import Balance, BurnedSpan, joined
from ..domain.burn_down import balance, history
from ..domain.grant import addon_grants
from ..domain.plan import allowance_of, limit_of, pool_allowance
from ..domain.pool import GRANTED
from ..domain.quantity import EXACT, ZERO, add
from ..domain.sources import Sources, balance_edges, history_edges

if TYPE_CHECKING:
    from .organization_usage import OrganizationUsage

_MICROSECOND = timedelta(microseconds=1)


def balance_of(usage: OrganizationUsage, slug: str) -> Balance:
    """What is left of a meter, or a pool, at the moment of the usage. Raises `NotFound` for an unknown one, and
    `Invalid` for a meter that does not add up."""
    return _balance_at(usage, slug, usage.now)


def history_of(usage: OrganizationUsage, slug: str, marks: Sequence[datetime]) -> list[BurnedSpan]:
    """What happened in each of the spans between ascending instants. Raises as `balance_of` does."""
    sources = sources_of(usage, slug)
    edges = history_edges(sources, marks)
    spans = history(sources, edges, _used(usage, slug, edges))
    return [joined(spans[edges.index(start) : edges.index(end)]) for start, end in pairwise(marks)]


def limit_in_period(usage: OrganizationUsage, slug: str) -> Decimal | None:
    """How much of a meter or a pool can be used in the usage period that is asked about: see `Balance.limit`. Of a
    period that is over, at its last moment. None: any amount; of a pool, where the subscription names no limit of it.
    Raises `NotFound`."""
    period, now, namespace = usage.period(), usage.now, usage.organization.namespace
    plan = usage.catalogs.plan(namespace, usage.subscription)
    granted = any(grant.meter == slug for grant in usage.grants)
    if slug in usage.catalogs.get(namespace).pools:
        allowance = pool_allowance(usage.subscription, plan, slug)
        if allowance is None or not granted:
            return allowance
    else:
        meter = usage.catalogs.meter(namespace, slug)
        if meter.aggregation not in GRANTED or not granted:
            return limit_of(usage.subscription, plan, meter, period)
    if period.end is not None and period.end <= now:
        now = period.end - _MICROSECOND
    return _balance_at(usage, slug, now).limit


def sources_of(usage: OrganizationUsage, slug: str) -> Sources:
    """What there is of a meter or a pool. Of a pool that it does not name, the plan allows nothing."""
    namespace, subscription = usage.organization.namespace, usage.subscription
    plan = usage.catalogs.plan(namespace, subscription)
    granted = [grant for grant in usage.grants if grant.meter == slug]
    if slug in usage.catalogs.get(namespace).pools:
        return Sources(subscription, pool_allowance(subscription, plan, slug) or ZERO, tuple(granted))
    granted += addon_grants(subscription, usage.organization.id, slug)
    return Sources(subscription, allowance_of(subscription, plan, slug), tuple(granted))


def granted_slugs(usage: OrganizationUsage) -> list[str]:
    """The meters and pools that the organization has grants of, add-ons aside, as far as the catalog has them still."""
    catalog = usage.catalogs.get(usage.organization.namespace)
    known = {slug for slug, meter in catalog.meters.items() if meter.aggregation in GRANTED} | catalog.pools.keys()
    return sorted({grant.meter for grant in usage.grants} & known)


def next_change(usage: OrganizationUsage) -> datetime | None:
    """When the next grant begins, is given anew, or ends: limits may be others then."""
    return min((at for grant in usage.grants if (at := next(grant.changes(usage.now), None)) is not None), default=None)


def _balance_at(usage: OrganizationUsage, slug: str, at: datetime) -> Balance:
    sources = sources_of(usage, slug)
    edges = balance_edges(sources, at)
    return balance(sources, edges, _used(usage, slug, edges))


def _used(usage: OrganizationUsage, slug: str, edges: Sequence[datetime | None]) -> list[Decimal]:
    rates = usage.catalogs.rates(usage.organization.namespace, slug)
    rows = usage.windows([*rates], edges)
    weighted = ([EXACT.multiply(rate, used) for used in row] for rate, row in zip(rates.values(), rows, strict=True))
    return [add(amounts) for amounts in zip(*weighted, strict=True)]

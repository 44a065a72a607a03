"""One organization's usage at one moment and one state of the store."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from ..domain.grant import Grant
from ..domain.listing import CursorSeal, EventPage, EventQuery, PagePosition, StoredEvent
from ..domain.loss import lost_before
from ..domain.meter import Aggregation, Measure, Meter, MeterQuery, StateWindow, Top
from ..domain.organization import Organization
from ..domain.period import ALL_TIME, Period
from ..domain.plan import Subscription, bought_by_flex, usage_period
from ..domain.quantity import ZERO, add
from ..domain.summary import MeterSummary, UsageSummary
from ..ports.event_store import EventStore
from ..ports.ledger import Ledger
from ..ports.meter_reader import MeasureFunction
from .balances import limit_in_period
from .catalogs import Catalogs

CompleteSince: TypeAlias = Callable[[str, Meter], datetime | None]
"""Answers, for a namespace and a meter of it, from when on events have what it reads; None where all have it."""
MOST_GROUPS = 10_000
"""That an answer lists; `top` ranks any number."""


@dataclass(frozen=True, slots=True)
class OrganizationUsage:
    """One organization's usage at one moment and one state of the store: see `ports.UsageReader`."""

    store: EventStore
    measuring: MeasureFunction
    ledger: Ledger
    catalogs: Catalogs
    seal: CursorSeal
    complete_since: CompleteSince
    organization: Organization
    subscription: Subscription | None
    grants: tuple[Grant, ...]
    now: datetime
    commit: int
    asked: Period | None = None
    """The period that is asked about, where it is not the usage period of `now`."""

    def over(self, period: Period) -> OrganizationUsage:
        """The same state of the store, asked about another period: every figure is that of this one."""
        return replace(self, asked=period)

    def period(self) -> Period:
        """See `ports.UsageReader`."""
        return self.asked or usage_period(self.subscription, self.now)

    def limit(self, meter: str) -> Decimal | None:
        """See `ports.UsageReader`."""
        return limit_in_period(self, meter)

    def usable(self, meter: str) -> Decimal | None:
        """How much of a meter or a pool may be used in the usage period: its limit, and what flex sells beyond it.
        None: any amount."""
        limit = self.limit(meter)
        if limit is None or self.catalogs.get(self.organization.namespace).flex != meter:
            return limit
        return add((limit, bought_by_flex(self.subscription)))

    def total(self, meter: str, period: Period, filters: Mapping[str, str] | None = None) -> Decimal:
        """See `ports.UsageReader`."""
        return self._used((self._meter(meter),), period, filters)[0] or ZERO

    def totals(self, meters: Sequence[str], period: Period) -> list[Decimal]:
        """See `ports.UsageReader`."""
        return [used or ZERO for used in self._used([self._meter(meter) for meter in meters], period)]

    def windows(self, meters: Sequence[str], edges: Sequence[datetime | None]) -> list[list[Decimal]]:
        """See `ports.UsageReader`."""
        found = [self._meter(meter) for meter in meters]
        values = [[ZERO] * (len(edges) - 1) for _ in meters]
        for measure in self._measure(found, tuple(edges)):
            row = values[measure.meter]
            row[measure.window] = add((row[measure.window], measure.value))
        return values

    def groups(self, meters: Sequence[str], period: Period, by: str) -> list[dict[str, Decimal]]:
        """See `ports.UsageReader`."""
        found = [self._meter(meter) for meter in meters]
        values: list[dict[str, Decimal]] = [{} for _ in meters]
        for measure in self._measure(found, (period.start, period.end), group_by=(by,)):
            row, [text] = values[measure.meter], measure.group
            row[text] = add((row[text], measure.value)) if text in row else measure.value
        return values

    def top(self, meters: Sequence[str], period: Period, by: str, count: int) -> list[Top]:
        """See `ports.UsageReader`."""
        found = tuple(self._meter(meter) for meter in meters)
        return self.store.top(self._query(found, (period.start, period.end), (by,), None), count)

    def state_windows(self, meter: str, edges: Sequence[datetime | None], by: StateWindow) -> list[dict[str, Decimal]]:
        """See `ports.UsageReader`."""
        values: list[dict[str, Decimal]] = [{} for _ in edges[1:]]
        for measure in self._measure_states(meter, tuple(edges), by):
            values[measure.window][measure.state] = measure.value
        return values

    def state_groups(self, meter: str, period: Period, by: StateWindow, group: str) -> dict[str, Decimal]:
        """See `ports.UsageReader`."""
        values: dict[str, Decimal] = {}
        for measure in self._measure_states(meter, (period.start, period.end), by, group_by=(group,)):
            values[measure.group[0]] = add((values.get(measure.group[0], ZERO), measure.value))
        return values

    def first_event_at(self) -> datetime | None:
        """See `ports.UsageReader`."""
        return self.store.first_event_at(self.organization.namespace, self.organization.id)

    def key_users(self) -> frozenset[str]:
        """See `ports.UsageReader`."""
        keys = self.ledger.keys(self.organization.id)
        return frozenset(key.user_id for key in keys if key.user_id is not None)

    def events(
        self,
        event_type: str,
        period: Period,
        filters: Mapping[str, tuple[str, ...]],
        limit: int,
        cursor: str | None = None,
        *,
        bound: bool = False,
    ) -> EventPage:
        """See `ports.UsageReader`. Cursors of a `bound` list are good for the same period only."""
        listing = self._listing(event_type, filters, period if bound else None)
        at = PagePosition(period.start, period.end, self.commit) if cursor is None else self.seal.read(cursor, listing)
        found = self.store.list_events(
            EventQuery(
                namespace=self.organization.namespace,
                organization=self.organization.id,
                event_type=event_type,
                start=at.start,
                end=at.end,
                as_of_commit=at.as_of_commit,
                limit=limit + 1,  # one more than is shown, to know whether there is a next page
                filters=filters,
                before=at.at if at.older else None,
                after=None if at.older else at.at,
            )
        )
        more = len(found) > limit
        shown = found[:limit] if at.older else found[-limit:]

        def cursor_beside(stored: StoredEvent, *, older: bool) -> str:
            return self.seal.write(at.beside(stored.at, older=older), listing)

        has_older, has_newer = (more, at.at is not None) if at.older else (True, more)
        return EventPage(
            events=[stored.event for stored in shown],
            older=cursor_beside(shown[-1], older=True) if shown and has_older else None,
            newer=cursor_beside(shown[0], older=False) if shown and has_newer else None,
        )

    def span(self, meter: Meter) -> Period:
        """The time that events of the meter in the summary are from: of a STATE_COUNT that counts all entities, all."""
        return ALL_TIME if meter.timeless else self.period()

    def cursor(self, event_type: str, period: Period) -> str:
        """The first page of the events of a period, for `events`."""
        return self.seal.write(PagePosition(period.start, period.end, self.commit), self._listing(event_type, {}, None))

    def _listing(self, event_type: str, filters: Mapping[str, tuple[str, ...]], to: Period | None) -> tuple[str, ...]:
        """What is listed, and the period that it is bound to: its cursors are good for nothing else."""
        texts = (text for path in filters for text in (path, *filters[path]))
        return (self.organization.id, event_type, *texts, *([str(to)] if to else ()))

    def summary(self) -> UsageSummary:
        """Every meter of the namespace in the usage period, in the order of the catalog."""
        period = self.period()
        return UsageSummary(
            self.organization,
            self.subscription,
            period,
            tuple(
                MeterSummary(meter, value, self.limit(meter.slug), period, self._complete_from(meter))
                for meter, value in self.used()
            ),
        )

    def used(self) -> list[tuple[Meter, Decimal | None]]:
        """The same without limits: what was used of every meter."""
        meters = list(self.catalogs.get(self.organization.namespace).meters.values())
        return [*zip(meters, self._used(meters, self.period()), strict=True)]

    def meter_summary(self, slug: str) -> MeterSummary:
        """One meter in the usage period. Raises `NotFound` for an unknown one."""
        meter, period = self._meter(slug), self.period()
        return MeterSummary(meter, self._used((meter,), period)[0], self.limit(slug), period)

    def lost_before(self) -> datetime | None:
        """The instant before which events may have been stored that are lost; None when none are."""
        return lost_before(self.store.losses())

    def _complete_from(self, meter: Meter) -> datetime | None:
        """Where events of the meter in the summary begin to be all there, if not at its beginning."""
        instant, start = self.complete_since(self.organization.namespace, meter), self.span(meter).start
        return instant if instant is not None and (start is None or start < instant) else None

    def _used(
        self, meters: Sequence[Meter], period: Period, filters: Mapping[str, str] | None = None
    ) -> list[Decimal | None]:
        """The meters over a period; None where there is nothing to take a minimum, maximum, average or latest of."""
        values: list[Decimal | None] = [None if meter.aggregation.needs_an_event else ZERO for meter in meters]
        for measure in self._measure(meters, (period.start, period.end), filters=filters):
            values[measure.meter] = add((values[measure.meter] or ZERO, measure.value))
        return values

    def _measure(
        self,
        meters: Sequence[Meter],
        edges: tuple[datetime | None, ...],
        *,
        group_by: tuple[str, ...] = (),
        filters: Mapping[str, str] | None = None,
    ) -> Iterator[Measure]:
        """Measures of all the meters; of a STATE_COUNT the counted states only."""
        together = [number for number, meter in enumerate(meters) if meter.aggregation is not Aggregation.STATE_COUNT]
        if together:
            asked = tuple(meters[number] for number in together)
            for measure in self.measuring(self._query(asked, edges, group_by, filters)):
                yield replace(measure, meter=together[measure.meter])
        for number, meter in enumerate(meters):
            if number in together:
                continue
            span = (None, None) if meter.timeless else edges
            for measure in self.measuring(self._query((meter,), span, group_by, filters)):
                if not meter.counted_states or measure.state in meter.counted_states:
                    yield replace(measure, meter=number)

    def _measure_states(
        self,
        meter: str,
        edges: tuple[datetime | None, ...],
        by: StateWindow,
        *,
        group_by: tuple[str, ...] = (),
        filters: Mapping[str, str] | None = None,
    ) -> list[Measure]:
        query = self._query((self._meter(meter),), edges, group_by, filters)
        return self.measuring(replace(query, state_window=by))

    def _query(
        self,
        meters: tuple[Meter, ...],
        edges: tuple[datetime | None, ...],
        group_by: tuple[str, ...],
        filters: Mapping[str, str] | None,
    ) -> MeterQuery:
        return MeterQuery(
            namespace=self.organization.namespace,
            organization=self.organization.id,
            meters=meters,
            edges=edges,
            as_of_commit=self.commit,
            group_by=group_by,
            filters=tuple((path, (text,)) for path, text in (filters or {}).items()),
            most_groups=MOST_GROUPS if group_by else None,
        )

    def _meter(self, slug: str) -> Meter:
        return self.catalogs.meter(self.organization.namespace, slug)

"""Answering what an organization has used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from ..domain.listing import CursorSeal, EventPage, EventQuery, Position, StoredEvent
from ..domain.meter import Aggregation, Measure, Meter, MeterQuery, StateWindow
from ..domain.organization import Organization
from ..domain.period import ALL_TIME, Period
from ..domain.plan import Subscription, limit_of, usage_period
from ..domain.quantity import ZERO, add
from ..domain.summary import MeterSummary, UsageSummary
from ..ports import Clock, EventStore, Ledger
from .catalogs import Catalogs


@dataclass(frozen=True, slots=True)
class Usage:
    """Opens the usage of organizations, each answer from the newest finished commit."""

    store: EventStore
    ledger: Ledger
    catalogs: Catalogs
    clock: Clock
    seal: CursorSeal

    def of(self, organization: Organization) -> OrganizationUsage:
        """The organization's usage at this moment."""
        return OrganizationUsage(
            store=self.store,
            ledger=self.ledger,
            catalogs=self.catalogs,
            seal=self.seal,
            organization=organization,
            subscription=self.ledger.subscription(organization.id),
            now=self.clock.now(),
            commit=self.store.latest_commit(),
        )


@dataclass(frozen=True, slots=True)
class OrganizationUsage:
    """One organization's usage at one moment and one state of the store: see `ports.UsageReader`."""

    store: EventStore
    ledger: Ledger
    catalogs: Catalogs
    seal: CursorSeal
    organization: Organization
    subscription: Subscription | None
    now: datetime
    commit: int

    def period(self) -> Period:
        """See `ports.UsageReader`."""
        return usage_period(self.subscription, self.now)

    def limit(self, meter: str) -> Decimal | None:
        """See `ports.UsageReader`."""
        plan = self.catalogs.plan(self.organization.namespace, self.subscription)
        return limit_of(self.subscription, plan, self._meter(meter), self.period())

    def total(self, meter: str, period: Period, filters: Mapping[str, str] | None = None) -> Decimal:
        """See `ports.UsageReader`."""
        return self._used(self._meter(meter), period, filters) or ZERO

    def windows(
        self,
        meter: str,
        edges: Sequence[datetime],
        filters: Mapping[str, str] | None = None,
        state_window: StateWindow | None = None,
    ) -> list[Decimal]:
        """See `ports.UsageReader`."""
        values = [ZERO] * (len(edges) - 1)
        for measure in self._measure(self._meter(meter), tuple(edges), filters=filters, state_window=state_window):
            values[measure.window] = add((values[measure.window], measure.value))
        return values

    def groups(
        self, meter: str, period: Period, by: str, state_window: StateWindow | None = None
    ) -> dict[str, Decimal]:
        """See `ports.UsageReader`."""
        edges = (period.start, period.end)
        measures = self._measure(self._meter(meter), edges, group_by=(by,), state_window=state_window)
        values: dict[str, Decimal] = {}
        for measure in measures:
            values[measure.group[0]] = add((values.get(measure.group[0], ZERO), measure.value))
        return values

    def states(
        self, meter: str, period: Period, by: StateWindow, filters: Mapping[str, str] | None = None
    ) -> dict[str, Decimal]:
        """See `ports.UsageReader`."""
        measures = self._measure(self._meter(meter), (period.start, period.end), filters=filters, state_window=by)
        return {measure.state: measure.value for measure in measures}

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
    ) -> EventPage:
        """See `ports.UsageReader`."""
        listing = (self.organization.id, event_type, *(text for path in filters for text in (path, *filters[path])))
        at = Position(period.start, period.end, self.commit) if cursor is None else self.seal.read(cursor, listing)
        found = self.store.newest(
            EventQuery(
                namespace=self.organization.namespace,
                organization=self.organization.id,
                event_type=event_type,
                start=at.start,
                end=at.end,
                as_of_commit=at.as_of_commit,
                limit=limit + 1,  # one more than is shown, to know whether there is a next page
                filters=filters,
                before=at.place if at.older else None,
                after=None if at.older else at.place,
            )
        )
        more = len(found) > limit
        shown = found[:limit] if at.older else found[-limit:]

        def cursor_beside(stored: StoredEvent, *, older: bool) -> str:
            return self.seal.write(at.beside(stored.place, older=older), listing)

        has_older, has_newer = (more, at.place is not None) if at.older else (True, more)
        return EventPage(
            events=[stored.event for stored in shown],
            older=cursor_beside(shown[-1], older=True) if shown and has_older else None,
            newer=cursor_beside(shown[0], older=False) if shown and has_newer else None,
        )

    def summary(self) -> UsageSummary:
        """Every meter of the namespace in the usage period, in the order of the catalog."""
        period = self.period()
        meters = self.catalogs.get(self.organization.namespace).meters.values()
        return UsageSummary(
            self.organization,
            self.subscription,
            period,
            tuple(MeterSummary(meter, self._used(meter, period), self.limit(meter.slug), period) for meter in meters),
        )

    def _used(self, meter: Meter, period: Period, filters: Mapping[str, str] | None = None) -> Decimal | None:
        """The meter over a period; None where there is nothing to take a minimum, maximum, average or latest of."""
        if meter.window is StateWindow.NOW:
            period = ALL_TIME
        values = [measure.value for measure in self._measure(meter, (period.start, period.end), filters=filters)]
        if not values and meter.aggregation in (
            Aggregation.MIN,
            Aggregation.MAX,
            Aggregation.AVG,
            Aggregation.LATEST,
        ):
            return None
        return add(values)

    def _measure(
        self,
        meter: Meter,
        edges: tuple[datetime | None, ...],
        *,
        group_by: tuple[str, ...] = (),
        filters: Mapping[str, str] | None = None,
        state_window: StateWindow | None = None,
    ) -> list[Measure]:
        """Of a STATE_COUNT the counted states only, unless the question is about another moment of the entities."""
        measures = self.store.measure(
            MeterQuery(
                namespace=self.organization.namespace,
                organization=self.organization.id,
                meter=meter,
                edges=edges,
                as_of_commit=self.commit,
                group_by=group_by,
                filters=tuple((filters or {}).items()),
                state_window=state_window,
            )
        )
        counted = meter.counted_states if state_window is None else ()
        return [measure for measure in measures if not counted or measure.state in counted]

    def _meter(self, slug: str) -> Meter:
        return self.catalogs.meter(self.organization.namespace, slug)

"""Answering what an organization has used."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

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

    def of(self, organization: Organization) -> OrganizationUsage:
        """The organization's usage at this moment."""
        return OrganizationUsage(
            store=self.store,
            catalogs=self.catalogs,
            organization=organization,
            subscription=self.ledger.subscription(organization.id),
            now=self.clock.now(),
            commit=self.store.latest_commit(),
        )


@dataclass(frozen=True, slots=True)
class OrganizationUsage:
    """One organization's usage at one moment and one state of the store: see `ports.UsageReader`."""

    store: EventStore
    catalogs: Catalogs
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

    def windows(self, meter: str, edges: Sequence[datetime], filters: Mapping[str, str] | None = None) -> list[Decimal]:
        """See `ports.UsageReader`."""
        found = self._meter(meter)
        values = [ZERO] * (len(edges) - 1)
        for measure in _counted(found, self._measure(found, tuple(edges), filters=filters)):
            values[measure.window] = add((values[measure.window], measure.value))
        return values

    def groups(self, meter: str, period: Period, by: str) -> dict[str, Decimal]:
        """See `ports.UsageReader`."""
        found = self._meter(meter)
        values: dict[str, Decimal] = {}
        for measure in _counted(found, self._measure(found, (period.start, period.end), group_by=(by,))):
            values[measure.group[0]] = add((values.get(measure.group[0], ZERO), measure.value))
        return values

    def states(self, meter: str, period: Period, by: StateWindow) -> dict[str, Decimal]:
        """See `ports.UsageReader`."""
        measures = self._measure(self._meter(meter), (period.start, period.end), state_window=by)
        return {measure.state: measure.value for measure in measures}

    def first_event_at(self) -> datetime | None:
        """See `ports.UsageReader`."""
        return self.store.first_event_at(self.organization.namespace, self.organization.id)

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
        values = [m.value for m in _counted(meter, self._measure(meter, (period.start, period.end), filters=filters))]
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
        return self.store.measure(
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

    def _meter(self, slug: str) -> Meter:
        return self.catalogs.meter(self.organization.namespace, slug)


def _counted(meter: Meter, measures: list[Measure]) -> list[Measure]:
    """Of a STATE_COUNT only the states that count towards `used`."""
    return [m for m in measures if not meter.counted_states or m.state in meter.counted_states]

"""Answering questions about usage over any span: meters by window and group, compared with another span."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from ..domain.errors import Invalid, NotYet
from ..domain.local_time import local_date, start_of_day, zone
from ..domain.loss import lost_before
from ..domain.meter import BY_ORGANIZATION, Meter, MeterQuery
from ..domain.period import Period, format_instant
from ..domain.plan import previous_period, usage_period
from ..domain.position import parse_position
from ..domain.quantity import divide, round_half_even
from ..domain.shards import Seat
from ..domain.span import Span, range_until, span_between, windows_of, year_before
from ..domain.usage_query import (
    ORGANIZATION,
    Compare,
    GroupUsage,
    MeterAnswer,
    OtherUsage,
    UsageAnswer,
    UsageFigures,
    UsageQuery,
    Window,
)
from ..ports.clock import Clock
from ..ports.ledger import Ledger
from ..ports.meter_reader import MeterReader
from ..ports.snapshots import Snapshots
from .catalogs import Catalogs
from .organization_usage import CompleteSince
from .usage_costs import AnswerCosts
from .usage_parts import PartsReader, Series, UsageParts, absent_series

MOST_POINTS = 100_000
"""Numbers of one answer."""
_WAIT_SECONDS = 2
_STEP_MS = 5


@dataclass(frozen=True, slots=True)
class UsageQueries:
    """Answers each question from one snapshot."""

    snapshots: Snapshots
    store: MeterReader
    """Of the organization, where one alone is asked about: tells when its usage began."""
    ledger: Ledger
    catalogs: Catalogs
    clock: Clock
    complete_since: CompleteSince = lambda _namespace, _meter: None
    """See `Completeness.since`."""
    seat: Seat = field(default_factory=Seat)

    def answer(self, query: UsageQuery, namespace: str, organizations: tuple[str, ...]) -> UsageAnswer:
        """The answer about some organizations of a namespace; about all of it where none are named.

        Raises `NotFound` for an unknown namespace or meter, `Invalid` for what cannot be answered, and `NotYet` where
        the position that the answer must include has not been reached.
        """
        meters = tuple(self.catalogs.meter(namespace, slug) for slug in query.meters)
        for meter in meters:
            _check(query, meter)
        if len(organizations) == 1:
            self.seat.check(namespace, organizations[0])
        now = self.clock.now()
        if query.as_of is not None and query.as_of > now:
            raise Invalid(f"as_of: {format_instant(query.as_of)} is still to come")
        if query.at_least is not None:
            self._wait_for(query.at_least)
        snapshot = self.snapshots.snapshot(namespace, organizations, query.as_of)
        moment, tz = query.as_of or now, zone(query.timezone)
        span = self._span(query, moment, tz, namespace, organizations)
        compared = _compared(query, span, tz)
        windows = windows_of(span.period, query.window, tz)
        edges = (span.period.start, *(each.period.end for each in windows[:-1]), span.period.end)
        reader = PartsReader(snapshot.reader, _meter_query(query, namespace, organizations, snapshot.commit))
        reader.read_ahead(meters, edges)
        if compared is not None:
            reader.read_ahead(meters, (compared.start, compared.end))
        prices = self.catalogs.get(namespace).prices if query.costs else {}
        costs = AnswerCosts(query, namespace, organizations, snapshot, self.ledger)
        answers, points = [], 0
        for meter in meters:
            complete_from = self._complete_from(namespace, meter, span.period)
            answers.append(replace(_answer(query, reader, meter, edges, compared), complete_from=complete_from))
            points += (len(windows) + 1) * (1 + len(answers[-1].groups or ()) + (answers[-1].other is not None))
            if points > MOST_POINTS:
                raise Invalid(
                    f"there are more than {MOST_POINTS:,} numbers to answer; narrow from and to, take longer windows, "
                    "or ask for fewer meters or a smaller top"
                )
            if meter.slug in prices:
                answers[-1] = costs.of(answers[-1], prices[meter.slug], edges)
        return UsageAnswer(
            query,
            span.period,
            compared,
            windows,
            moment,
            snapshot.position,
            tuple(answers),
            lost_before(snapshot.losses),
        )

    def _complete_from(self, namespace: str, meter: Meter, span: Period) -> datetime | None:
        instant = self.complete_since(namespace, meter)
        return instant if instant is not None and (span.start is None or span.start < instant) else None

    def _wait_for(self, position: str) -> None:
        try:
            wanted = parse_position(position)
        except Invalid as wrong:
            raise Invalid(f"at_least: {wrong}") from None
        for _ in range(_WAIT_SECONDS * 1000 // _STEP_MS):
            if self.snapshots.reached(wanted):
                return
            time.sleep(_STEP_MS / 1000)
        raise NotYet(
            f"at_least: {position} has not been reached; it may be of another server, or from before a restore"
        )

    def _span(
        self, query: UsageQuery, moment: datetime, tz: ZoneInfo, namespace: str, organizations: tuple[str, ...]
    ) -> Span:
        if query.start is not None:
            return span_between(query.start, query.end or moment, tz)
        if query.range not in ("current_period", "previous_period"):
            return range_until(query.range, moment, tz)
        span = self._usage_period(query.range, moment, organizations)
        if query.window is Window.NONE or (span.period.start and span.period.end):
            return span
        if len(organizations) != 1:
            raise Invalid("window: the usage period is open; give from and to, or a range such as range=30d")
        first = self.store.first_event_at(namespace, organizations[0]) or moment
        today = local_date(moment, tz)
        start = span.period.start or start_of_day(min(local_date(first, tz), today), tz)
        end = span.period.end or start_of_day(today + timedelta(days=1), tz)
        return Span(Period(start, end), None)

    def _usage_period(self, which: str, moment: datetime, organizations: tuple[str, ...]) -> Span:
        """The usage period that the organizations share."""
        subscriptions = [self.ledger.subscription(each) for each in organizations]
        periods = [usage_period(each, moment) for each in subscriptions]
        if not periods or any(period != periods[0] for period in periods):
            raise Invalid(
                f"range: {which} is not the same for all of these organizations; give from and to, or a range such as "
                "range=30d"
            )
        subscription, period = subscriptions[0], periods[0]
        before = previous_period(subscription, period)
        if which == "current_period":
            return Span(period, before)
        if before is None:
            raise Invalid("range: there is no previous_period: the usage period never resets, or this is the first one")
        return Span(before, previous_period(subscription, before))


def _check(query: UsageQuery, meter: Meter) -> None:
    """Raises `Invalid` for what the meter cannot be asked."""
    known = ", ".join(meter.group_by) or "none"
    for path in query.group_by:
        if path not in meter.group_by and path != ORGANIZATION:
            raise Invalid(f"group_by: the meter {meter.slug} has no group {path[:60]!r}; it has {known}")
    for path, _ in query.filters:
        if path not in meter.group_by:
            raise Invalid(f"filter.{path[:60]}: the meter {meter.slug} has no group of this name; it has {known}")
    if meter.timeless:
        for name, given in (("window", query.window is not Window.NONE), ("compare", query.compare is not None)):
            if given:
                raise Invalid(
                    f"{name}: {meter.slug} counts what is in a state now, whenever that began; ask for another moment "
                    "with as_of"
                )


def _meter_query(query: UsageQuery, namespace: str, organizations: tuple[str, ...], commit: int) -> MeterQuery:
    filters = [(path, texts) for path, texts in query.filters]
    if len(organizations) > 1:
        filters.append((BY_ORGANIZATION, organizations))
    return MeterQuery(
        namespace=namespace,
        organization=organizations[0] if len(organizations) == 1 else None,
        meters=(),
        edges=(),
        as_of_commit=commit,
        group_by=tuple(BY_ORGANIZATION if path == ORGANIZATION else path for path in query.group_by),
        filters=tuple(filters),
    )


def _compared(query: UsageQuery, span: Span, tz: ZoneInfo) -> Period | None:
    """The span to compare with."""
    if query.compare is None:
        return None
    compared = span.previous if query.compare is Compare.PREVIOUS else year_before(span.period, tz)
    if compared is None:
        raise Invalid(f"compare: there is no such span before; {_WITHOUT[query.compare]}")
    return compared


_WITHOUT = {
    Compare.PREVIOUS: "the usage period never resets, this is the first one, or that is before 1900",
    Compare.YEAR: "the span is open, or that is before 1900",
}


def _answer(
    query: UsageQuery, reader: PartsReader, meter: Meter, edges: tuple[datetime | None, ...], compared: Period | None
) -> MeterAnswer:
    if meter.timeless:
        edges = (None, None)
    parts, others = reader.largest(meter, edges, query.top) if query.group_by else (reader.of(meter, edges, ()), 0)
    before = None if compared is None else reader.of(meter, (compared.start, compared.end), tuple(parts.groups))
    divided = query.window is not Window.NONE
    whole = _figures(parts.whole, before.whole if before else None, divided=divided)
    groups = other = None
    if query.group_by:
        groups = tuple(
            GroupUsage(
                dict(zip(query.group_by, group, strict=True)),
                _figures(series, before.groups[group] if before else None, divided=divided),
                _share(meter, series, parts.whole),
            )
            for group, series in parts.groups.items()
        )
        other = _other(meter, parts, before, others, divided=divided)
    return MeterAnswer(meter, whole, _change(whole), groups, other)


def _other(
    meter: Meter, parts: UsageParts, before: UsageParts | None, others: int, *, divided: bool
) -> OtherUsage | None:
    """There also where only the span that is compared with had other groups, so that previous totals add up."""
    previous = before.other if before else None
    if parts.other is None and previous is None:
        return None
    series = parts.other or absent_series(meter, len(parts.whole.windows))
    compared = None if before is None else previous or absent_series(meter, 1)
    return OtherUsage(others, _figures(series, compared, divided=divided), _share(meter, series, parts.whole))


def _figures(series: Series, previous: Series | None, *, divided: bool) -> UsageFigures:
    return UsageFigures(series.total, series.windows if divided else (), previous.total if previous else None)


def _share(meter: Meter, series: Series, whole: Series) -> Decimal | None:
    if not meter.aggregation.additive or series.total is None or not whole.total:
        return None
    return round_half_even(divide(series.total, whole.total), 4)


def _change(whole: UsageFigures) -> Decimal | None:
    change = whole.change_percent
    return None if change is None else round_half_even(change, 2)

"""Answers to usage queries, held to what is worked out by hand from every single event: local dates and clocks instead
of windows, one aggregate of all events of a group instead of parts that are merged."""

from __future__ import annotations

import itertools
from collections import defaultdict
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from test_rollups import SINGLE, STATES, correction, event

from meterhouse.domain.catalog import Catalog
from meterhouse.domain.event import Event
from meterhouse.domain.meter import BY_ORGANIZATION, Aggregation, Meter, MeterQuery, StateWindow
from meterhouse.domain.period import Interval
from meterhouse.domain.plan import Subscription
from meterhouse.domain.quantity import ZERO, add
from meterhouse.domain.usage_query import Compare, UsageAnswer, UsageFigures, UsageQuery, Window
from meterhouse.services import usage_parts
from meterhouse.services.catalogs import BaseCatalog, Catalogs
from meterhouse.services.snapshots import LocalSnapshots
from meterhouse.services.usage_queries import UsageQueries
from meterhouse.storage.clickhouse.store import ClickHouseEventStore
from support.depth import by_depth
from support.reference import ReferenceStore, Row, aggregate, grouped_text, measure_states, reads
from support.stores import open_store

# Around changes of the clocks, of which one skips midnight and one comes at 24:00.
MOMENTS = [
    datetime(2025, 4, 24, 22, tzinfo=UTC),  # Cairo, forward over midnight
    datetime(2025, 10, 4, 15, tzinfo=UTC),  # Lord Howe, forward by half an hour
    datetime(2025, 10, 25, 21, tzinfo=UTC),  # Beirut, back from midnight
    datetime(2025, 10, 26, 1, tzinfo=UTC),  # Zürich, back
    datetime(2025, 11, 2, 6, tzinfo=UTC),  # New York, back
]
ZONES = ["UTC", "America/New_York", "Europe/Zurich", "Asia/Kathmandu", "Africa/Cairo", "Asia/Beirut"]
HALF_HOURS = ["Australia/Lord_Howe"]
"""Where an hour of the clock is half an hour long, once a year."""
STORED = datetime(2026, 1, 1, tzinfo=UTC)
NOW = datetime(2026, 2, 1, tzinfo=UTC)
ORGANIZATIONS = ("acme", "it's", "emca")
METERS = [
    *SINGLE,
    STATES,
    Meter("now", "thing", Aggregation.STATE_COUNT, entity="name", state="state", window=StateWindow.NOW),
]
ADDITIVE = (Aggregation.COUNT, Aggregation.SUM, Aggregation.STATE_COUNT)

_numbers = itertools.count()
EVENTS = st.builds(
    lambda moment, minutes, data, organization: event(
        f"q{next(_numbers)}", moment + timedelta(minutes=minutes), data, org=organization
    ),
    st.sampled_from(MOMENTS),
    st.integers(-60, 60) | st.integers(-3_000, 3_000),
    st.fixed_dictionaries(
        {},
        optional={
            "n": st.sampled_from([0, 1, -1, "0.1", "1e-28", 7]),
            "m": st.integers(0, 5),
            "group": st.sampled_from(["", "a", "b", "c", "it's"]),
            "user": st.fixed_dictionaries({"id": st.sampled_from(["u", "v"])}),
            "name": st.sampled_from(["x", "y", "z"]),
            "state": st.sampled_from(["on", "off"]),
        },
    ),
    st.sampled_from(ORGANIZATIONS),
)
STEPS = st.lists(
    st.tuples(st.lists(EVENTS, min_size=1, max_size=12), st.lists(st.booleans(), max_size=3), st.booleans()),
    min_size=1,
    max_size=4,
)


@dataclass
class Clock:
    def now(self) -> datetime:
        return NOW


class Ledger:
    """Knows of one subscription for all."""

    def subscription(self, _organization: str) -> Subscription:
        return Subscription(None, datetime(2025, 10, 1, tzinfo=UTC), Interval(1, 0))


@st.composite
def questions(draw: st.DrawFn, steps: int) -> tuple[UsageQuery, tuple[str, ...]]:
    window = draw(st.sampled_from([*Window, Window.DAY]))
    if window is Window.MINUTE:
        start = draw(st.sampled_from(MOMENTS)) - timedelta(
            minutes=draw(st.integers(0, 90)), seconds=draw(st.integers(0, 59))
        )
        sides: dict[str, Any] = {"start": start, "end": start + timedelta(minutes=draw(st.integers(1, 200)))}
    else:
        first = draw(st.sampled_from(MOMENTS)).date() - timedelta(days=draw(st.integers(0, 3)))
        sides = {"start": first, "end": first + timedelta(days=draw(st.integers(1, 9)))}
    grouped = draw(st.booleans())
    meters = draw(st.lists(st.sampled_from(METERS), min_size=1, max_size=4, unique=True))
    if grouped:
        meters = [meter for meter in meters if "group" in meter.group_by] or [SINGLE[0]]
    if window is not Window.NONE:
        meters = [meter for meter in meters if meter.slug != "now"] or [SINGLE[0]]
    by = draw(st.sampled_from([("group",), ("organization",), ("group", "organization"), ("organization", "group")]))
    filtered = grouped and draw(st.booleans())
    texts = st.lists(st.sampled_from(["", "a", "b", "nobody"]), min_size=1, max_size=3, unique=True)
    compares = all(meter.slug != "now" for meter in meters)
    query = UsageQuery(
        meters=tuple(meter.slug for meter in meters),
        **sides,
        window=window,
        timezone=draw(st.sampled_from(ZONES + HALF_HOURS)),
        group_by=by if grouped else (),
        filters=(("group", tuple(draw(texts))),) if filtered else (),
        top=draw(st.sampled_from([1, 2, 20])),
        compare=draw(st.sampled_from([None, *Compare])) if compares else None,
        as_of=draw(st.sampled_from([None, None, *(STORED + timedelta(hours=n, minutes=1) for n in range(-1, steps))])),
    )
    return query, draw(st.sampled_from([("acme",), ("acme",), ("acme", "emca"), ()]))


@settings(
    max_examples=by_depth(5, 15, 600), deadline=None, suppress_health_check=list(HealthCheck), phases=[Phase.generate]
)
@given(data=st.data(), steps=STEPS)
@pytest.mark.parametrize("few_cells", [True, False])
def test_answers_are_what_single_events_come_to(
    tmp_path_factory: pytest.TempPathFactory,
    few_cells: bool,
    data: st.DataObject,
    steps: list[tuple[list[Event], list[bool], bool]],
) -> None:
    store, reference = open_store(tmp_path_factory.mktemp("queries"), {"ns": METERS}), ReferenceStore()
    with pytest.MonkeyPatch.context() as patch:
        if not few_cells:  # the engine ranks, and each part is asked for
            patch.setattr(usage_parts, "_MOST_CELLS", 1)
        try:
            sent: list[Event] = []
            for number, (events, words, folds) in enumerate(steps):
                sent += events
                batch = [*events, *(correction(data.draw(st.sampled_from(sent)), void=void) for void in words)]
                stored_at = STORED + timedelta(hours=number)
                assert store.append(batch, stored_at) == reference.append(batch, stored_at)
                while folds and store.materialize(store.latest_commit()):
                    pass
                for _ in range(2):
                    ask(store, reference, *data.draw(questions(number + 1)))
        finally:
            store.close()


def ask(
    store: ClickHouseEventStore, reference: ReferenceStore, query: UsageQuery, organizations: tuple[str, ...]
) -> None:
    catalog = Catalog("ns", None, {meter.slug: meter for meter in METERS}, {})
    queries = UsageQueries(LocalSnapshots(store), store, Ledger(), Catalogs([BaseCatalog(catalog, "")]), Clock())  # type: ignore[arg-type]
    answer = queries.answer(query, "ns", organizations)
    told = [row.commit for row in reference.rows if query.as_of is None or row.stored_at <= query.as_of]
    rows = [
        row
        for row in reference.counted(max(told, default=0))
        if row.event.organization in (organizations or ORGANIZATIONS)
    ]
    Check(reference, query, answer, rows).all()


@dataclass
class Check:
    reference: ReferenceStore
    query: UsageQuery
    answer: UsageAnswer
    rows: list[Row]

    def all(self) -> None:
        query = self.query
        for each in self.answer.meters:
            meter = each.meter
            if meter.aggregation is Aggregation.STATE_COUNT:
                self.states(each)
                continue
            events = [row.event for row in self.rows if reads(meter, row.event) and self.keeps(row.event)]
            inside = [one for one in events if self.inside(one)]
            before = [one for one in events if self.inside_compared(one)]
            self.figures(meter, each.figures, inside, before)
            assert (each.groups is None) == (not query.group_by)
            if not query.group_by:
                continue
            by_group: dict[tuple[str, ...], list[Event]] = defaultdict(list)
            for one in inside:
                by_group[self.group(one)].append(one)
            values = {group: aggregate(meter, of) for group, of in by_group.items()}
            ranked = sorted(
                (group for group in values if values[group] is not None),
                key=lambda group: (Decimal(values[group] or 0).copy_negate(), group),
            )
            assert each.groups is not None
            shown = [tuple(one.group.values()) for one in each.groups]
            assert shown == ranked[: query.top], query
            for one in each.groups:
                group = tuple(one.group.values())
                self.figures(meter, one.figures, by_group[group], [e for e in before if self.group(e) == group])
            rest = [one for one in inside if self.group(one) not in shown]
            rest_before = [one for one in before if self.group(one) not in shown]
            if each.other is None:
                assert aggregate(meter, rest) in (None, 0), query
                assert aggregate(meter, rest_before) in (None, 0), query
            else:
                assert each.other.groups == len(ranked) - len(shown)
                self.figures(meter, each.other.figures, rest, rest_before)
            if meter.aggregation in ADDITIVE:
                parts = [one.figures for one in each.groups] + ([each.other.figures] if each.other else [])
                assert add(one.total or ZERO for one in parts) == each.figures.total
                assert add(one.previous or ZERO for one in parts) == (each.figures.previous or 0)

    def figures(self, meter: Meter, figures: UsageFigures, inside: list[Event], before: list[Event]) -> None:
        absent = None if meter.aggregation.numeric and meter.aggregation is not Aggregation.SUM else 0
        total = aggregate(meter, inside)
        assert figures.total == (absent if total is None else total), self.query
        if self.query.compare is None:
            assert figures.previous is None
        else:
            previous = aggregate(meter, before)
            assert figures.previous == (absent if previous is None else previous), self.query
        if self.query.window is Window.NONE:
            assert figures.windows == ()
            return
        if meter.aggregation in ADDITIVE:
            assert add(value or ZERO for value in figures.windows) == figures.total
        if self.query.timezone in HALF_HOURS and self.query.window in (Window.HOUR, Window.MINUTE):
            return
        found = {
            window.label: value
            for window, value in zip(self.answer.windows, figures.windows, strict=True)
            if value not in (None, absent)
        }
        by_label: dict[str, list[Event]] = defaultdict(list)
        for one in inside:
            by_label[self.label(one)].append(one)
        expected = {label: aggregate(meter, of) for label, of in by_label.items()}
        assert found == {label: value for label, value in expected.items() if value not in (None, absent)}, self.query

    def states(self, each: Any) -> None:
        """Entities are counted as the reference counts them; what is shown of it adds up."""
        edges = (None, None) if each.meter.slug == "now" else (self.answer.span.start, self.answer.span.end)
        by = tuple(BY_ORGANIZATION if path == "organization" else path for path in self.query.group_by)
        filters = self.query.filters
        events = [row.event for row in self.rows if row.event.type == each.meter.event_type]
        asked = MeterQuery("ns", None, (each.meter,), edges, 0, by, filters)
        groups: dict[tuple[str, ...], Decimal] = defaultdict(Decimal)
        for measure in measure_states(asked, events):
            groups[measure.group] += measure.value
        assert each.figures.total == sum(groups.values()), self.query
        if self.query.window is not Window.NONE:
            assert sum(each.figures.windows) == each.figures.total
        if each.groups is not None:
            ranked = sorted(groups, key=lambda group: (-groups[group], group))[: self.query.top]
            assert [(tuple(one.group.values()), one.figures.total) for one in each.groups] == [
                (group, groups[group]) for group in ranked
            ], self.query
            other = each.other.figures.total if each.other else 0
            assert other + sum(groups[group] for group in ranked) == each.figures.total

    def keeps(self, one: Event) -> bool:
        return all(grouped_text(one, path) in texts for path, texts in self.query.filters)

    def group(self, one: Event) -> tuple[str, ...]:
        return tuple(
            one.organization if path == "organization" else grouped_text(one, path) for path in self.query.group_by
        )

    def local(self, one: Event) -> datetime:
        return one.time.astimezone(ZoneInfo(self.query.timezone))

    def inside(self, one: Event) -> bool:
        start, end = self.query.start, self.query.end
        assert start
        assert end
        if isinstance(start, datetime):
            return start <= one.time < end  # type: ignore[operator]
        return start <= self.local(one).date() < end

    def inside_compared(self, one: Event) -> bool:
        start, end = self.query.start, self.query.end
        assert start
        assert end
        if self.query.compare is None:
            return False
        if isinstance(start, datetime):
            assert isinstance(end, datetime)
            if self.query.compare is Compare.PREVIOUS:
                return start - (end - start) <= one.time < start
            assert self.answer.compared
            return self.answer.compared.contains(one.time)
        if self.query.compare is Compare.YEAR:
            first, last = (day.replace(year=day.year - 1) for day in (start, end))
        elif start.day == end.day == 1:
            first, last = date(start.year, start.month - 1, 1), start
        else:
            first, last = start - (end - start), start
        return first <= self.local(one).date() < last

    def label(self, one: Event) -> str:
        local = self.local(one)
        match self.query.window:
            case Window.MONTH:
                return f"{local:%Y-%m}"
            case Window.WEEK:
                return f"{local:%G-W%V}"
            case Window.DAY:
                return f"{local:%Y-%m-%d}"
            case Window.HOUR:
                return local.replace(minute=0, second=0, microsecond=0).isoformat(timespec="minutes")
            case _:
                start = self.query.start
                assert isinstance(start, datetime)
                minute = one.time.replace(second=0, microsecond=0)
                return max(minute, start).astimezone(ZoneInfo(self.query.timezone)).isoformat(timespec="minutes")

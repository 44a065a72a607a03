"""The oracle: an event store that is slow and obvious, written from the docstrings alone, to hold real ones to."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from meterhouse.domain.correction import RESTORE, VOID
from meterhouse.domain.event import Event, Outcome
from meterhouse.domain.json_reading import decode_data, read_text
from meterhouse.domain.listing import EventPosition, EventQuery, StoredEvent
from meterhouse.domain.loss import Loss
from meterhouse.domain.meter import BY_ORGANIZATION, Aggregation, Measure, Meter, MeterQuery, Ranking, StateWindow, Top
from meterhouse.domain.partial_aggregate import Number, Partial, PartialKey, check_groups, check_values
from meterhouse.domain.quantity import divide


@dataclass(frozen=True)
class Row:
    """An event and the number of the commit it was stored in."""

    event: Event
    commit: int
    stored_at: datetime


class ReferenceStore:
    """Keeps every event in one list, oldest commit first, and reads all of it for every question."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.conflicts: set[tuple[object, ...]] = set()
        self.commit = 0

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        """An event without a time has got `received_at` when it was parsed."""
        outcomes, kept = [], False
        for event in events:
            known = [row.event for row in self.rows if identity(row.event) == identity(event)]
            if not known and event.type in (VOID, RESTORE) and not self.named_by(event):
                outcomes.append(Outcome.UNKNOWN_TARGET)
            elif not known:
                self.rows.append(Row(event, self.commit + 1, received_at))
                outcomes.append(Outcome.INGESTED)
            elif same_content(known[0], event):
                outcomes.append(Outcome.DUPLICATE)
            else:
                outcomes.append(Outcome.CONFLICT)
                told = (identity(event), event.type, event.organization, event.data)
                kept = kept or told not in self.conflicts
                self.conflicts.add(told)
        if Outcome.INGESTED in outcomes or kept:
            self.commit += 1
        return outcomes

    def named_by(self, event: Event) -> bool:
        """Whether the event that a correction is about is stored."""
        return any(
            identity(row.event) == named(event) and not row.event.type.startswith("meterhouse.") for row in self.rows
        )

    def counted(self, as_of_commit: int) -> list[Row]:
        """What counts as of a commit: whatever the last word on it does not void."""
        rows = [row for row in self.rows if row.commit <= as_of_commit]
        last_word = {named(row.event): row.event.type for row in rows if row.event.type in (VOID, RESTORE)}
        return [row for row in rows if last_word.get(identity(row.event)) != VOID]

    def latest_commit(self) -> int:
        return self.commit

    def commit_at(self, instant: datetime) -> int:
        return max((row.commit for row in self.rows if row.stored_at <= instant), default=0)

    def measure(self, query: MeterQuery) -> list[Measure]:
        if query.meters[0].aggregation is Aggregation.STATE_COUNT:
            measures = measure_states(query, [row.event for row in self._rows(query, query.meters[0])])
        else:
            measures = [
                Measure(window, value, group, meter=number)
                for (number, group, window), rows in self._cells(query).items()
                if (value := aggregate(query.meters[number], [row.event for row in rows])) is not None
            ]
        check_groups((each.group for each in measures), query.most_groups)
        return measures

    def partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        if query.meters[0].aggregation is Aggregation.STATE_COUNT:
            counted: dict[PartialKey, int] = defaultdict(int)
            for each in self.measure(query):
                if each.state in (query.meters[0].counted_states or (each.state,)):
                    counted[0, each.group, each.window] += int(each.value)
            found = {key: Partial(entities, Decimal(entities)) for key, entities in counted.items()}
        else:
            found = {
                key: Partial(len(rows), self._number(query.meters[key[0]], rows))
                for key, every in self._cells(query).items()
                if (rows := [row for row in every if measured_by(query.meters[key[0]], row.event)])
            }
        check_groups((group for _, group, _ in found), query.most_groups)
        return found

    def _number(self, meter: Meter, rows: list[Row]) -> Number:
        if meter.aggregation is Aggregation.COUNT:
            return Decimal(len(rows))
        total = Aggregation.SUM if meter.aggregation is Aggregation.AVG else meter.aggregation
        value = aggregate(replace(meter, aggregation=total), [row.event for row in rows])
        assert value is not None
        if meter.aggregation is not Aggregation.LATEST:
            return value
        last = rows[[row.event for row in rows].index(latest([row.event for row in rows]))]
        return (micros(last.event.time), last.commit, self.rows.index(last)), value

    def distinct(self, query: MeterQuery) -> Mapping[PartialKey, Set[str]]:
        found = {
            key: values
            for key, rows in self._cells(query).items()
            if (values := {text(row.event, query.meters[key[0]].values[0]) for row in rows} - {""})
        }
        check_groups((group for _, group, _ in found), query.most_groups)
        check_values(found, query.most_values)
        return found

    def _rows(self, query: MeterQuery, meter: Meter) -> list[Row]:
        return [
            row
            for row in self.counted(query.as_of_commit)
            if row.event.namespace == query.namespace
            and query.organization in (None, row.event.organization)
            and reads(meter, row.event)
        ]

    def _cells(self, query: MeterQuery) -> dict[PartialKey, list[Row]]:
        """The events of each meter, group and window, in the order of storing."""
        cells: dict[PartialKey, list[Row]] = defaultdict(list)
        for number, meter in enumerate(query.meters):
            for row in self._rows(query, meter):
                named = dict(meter.renamed)
                if keeps(query, lambda name, event=row.event, of=named: grouped_text(event, of.get(name, name))):
                    for window in range(len(query.edges) - 1):
                        if in_window(query, window, row.event.time):
                            cells[number, group_of(query, row.event, named), window].append(row)
        return cells

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        asked = replace(query, most_groups=None)
        measures = sorted(self.measure(asked), key=lambda each: (each.value.copy_negate(), each.group))
        ranked = measures[:count]
        groups, totals = tuple(each.group for each in ranked), tuple(each.value for each in ranked)
        return Ranking(groups, len(measures) if count else 0, totals)

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        zeros = [Decimal(0)] * len(query.meters)
        found: defaultdict[str, list[Decimal]] = defaultdict(zeros.copy)
        for measure in self.measure(query):
            found[measure.group[0]][measure.meter] = measure.value
        ranked = sorted(found, key=lambda group: ([value.copy_negate() for value in found[group]], group))
        return [(group, tuple(found[group])) for group in ranked[:count]]

    def list_events(self, query: EventQuery) -> list[StoredEvent]:
        listed = [
            StoredEvent(row.event, EventPosition(row.event.time, row.commit, self.rows.index(row)), row.stored_at)
            for row in self.counted(query.as_of_commit)
            if row.event.namespace == query.namespace
            and row.event.organization == query.organization
            and row.event.type == query.event_type
            and (query.start is None or query.start <= row.event.time)
            and (query.end is None or row.event.time < query.end)
            and all(text(row.event, path) in allowed for path, allowed in query.filters.items())
        ]
        listed.sort(key=lambda stored: stored.at, reverse=True)
        if query.before is not None:
            listed = [stored for stored in listed if stored.at < query.before]
        if query.after is not None:
            return [stored for stored in listed if stored.at > query.after][-query.limit :]
        return listed[: query.limit]

    def first_event_at(self, namespace: str, organization: str) -> datetime | None:
        times = [
            row.event.time
            for row in self.counted(self.commit)
            if row.event.namespace == namespace
            and row.event.organization == organization
            and not row.event.type.startswith("meterhouse.")
        ]
        return min(times, default=None)

    def losses(self) -> list[Loss]:
        return []

    def check_room(self) -> None:
        """It has no disk."""

    def count(self) -> int:
        return len(self.rows) + len(self.conflicts)

    def close(self) -> None:
        """There is no folder to release."""


def identity(event: Event) -> tuple[str, str, str, str]:
    return event.namespace, event.organization, event.source, event.id


def named(event: Event) -> tuple[str, str, str, str]:
    """The event that a correction is about."""
    data = json.loads(event.data)
    return event.namespace, event.organization, data["source"], data["id"]


def same_content(first: Event, second: Event) -> bool:
    return first.type == second.type and same_json(decode_data(first.data), decode_data(second.data))


def same_json(first: object, second: object) -> bool:
    """Equal as JSON: unlike in Python, `true` is not 1."""
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same_json(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(same_json(a, b) for a, b in zip(first, second, strict=True))
    return isinstance(first, bool) == isinstance(second, bool) and first == second


def text(event: Event, path: str) -> str:
    return read_text(decode_data(event.data), path)


def grouped_text(event: Event, path: str) -> str:
    return event.organization if path == BY_ORGANIZATION else text(event, path)


def group_of(query: MeterQuery, event: Event, named: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(grouped_text(event, named.get(name, name)) for name in query.group_by)


def keeps(query: MeterQuery, text_of: Callable[[str], str]) -> bool:
    """Whether filters and sets of groups keep what has these texts."""
    return (
        all(text_of(path) in texts for path, texts in query.filters)
        and (query.only is None or tuple(map(text_of, query.only.by)) in query.only.groups)
        and (query.without is None or tuple(map(text_of, query.without.by)) not in query.without.groups)
    )


def in_window(query: MeterQuery, window: int, instant: datetime) -> bool:
    start, end = query.edges[window], query.edges[window + 1]
    return (start is None or start <= instant) and (end is None or instant < end)


def aggregate(meter: Meter, events: list[Event]) -> Decimal | None:
    """The value of one window and group, its events in the order of storing; None when it has nothing to speak of."""
    if meter.aggregation is Aggregation.COUNT:
        return Decimal(len(events))
    if meter.aggregation is Aggregation.UNIQUE_COUNT:
        texts = {text(event, meter.values[0]) for event in events} - {""}
        return Decimal(len(texts)) if texts else None
    measured = [event for event in events if measured_by(meter, event)]
    if not measured:
        return None
    numbers = [
        sum((Fraction(event.numbers.get(name, 0)) for name in meaning(meter, event).values), Fraction())
        for event in measured
    ]
    match meter.aggregation:
        case Aggregation.SUM:
            return decimal(sum(numbers, Fraction()))
        case Aggregation.MIN:
            return decimal(min(numbers))
        case Aggregation.MAX:
            return decimal(max(numbers))
        case Aggregation.AVG:
            return divide(decimal(sum(numbers, Fraction())), len(numbers))
        case Aggregation.LATEST:
            return decimal(numbers[measured.index(latest(measured))])
    raise AssertionError(meter.aggregation)


def meaning(meter: Meter, event: Event) -> Meter:
    """What a meter meant at the time of an event."""
    for earlier in meter.earlier:  # the oldest first
        if event.time < earlier.until:
            return earlier.meter
    return meter


def reads(meter: Meter, event: Event) -> bool:
    """Whether an event is one of those that a meter is about."""
    where = meaning(meter, event).where
    return event.type == meter.event_type and all(text(event, path) in texts for path, texts in where)


def measured_by(meter: Meter, event: Event) -> bool:
    """Whether a meter has what it needs of an event of its type."""
    meter = meaning(meter, event)
    return not meter.aggregation.numeric or meter.optional or all(name in event.numbers for name in meter.values)


def micros(instant: datetime) -> int:
    """Microseconds since 1970."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def decimal(number: Fraction) -> Decimal:
    """A sum of decimals as a decimal again; its denominator has no other primes than 2 and 5, so this ends."""
    places = 0
    while (number * 10**places).denominator != 1:
        places += 1
    digits = (number * 10**places).numerator
    return Decimal(f"{digits}E-{places}")


def latest(events: list[Event]) -> Event:
    """The one with the greatest time; among equals the last stored."""
    found = events[0]
    for event in events[1:]:
        if event.time >= found.time:
            found = event
    return found


def measure_states(query: MeterQuery, events: list[Event]) -> list[Measure]:
    [meter] = query.meters
    histories: dict[tuple[str, str], list[Event]] = defaultdict(list)
    for event in events:
        if text(event, meter.entity) and text(event, meter.state):
            histories[event.organization, text(event, meter.entity)].append(event)
    counts: dict[tuple[int, tuple[str, ...], str], int] = defaultdict(int)
    for history in histories.values():
        last = latest(history)
        if not keeps(query, lambda path, history=history: last_said(history, path)):
            continue
        for window in range(len(query.edges) - 1):
            if holds_entity(query, window, history):
                group = tuple(last_said(history, path) for path in query.group_by)
                counts[window, group, text(last, meter.state)] += 1
    return [Measure(window, Decimal(count), group, state) for (window, group, state), count in sorted(counts.items())]


def last_said(history: list[Event], path: str) -> str:
    """What the latest event of an entity that has a property says of it."""
    events = [event for event in history if grouped_text(event, path)]
    return grouped_text(latest(events), path) if events else ""


def holds_entity(query: MeterQuery, window: int, history: list[Event]) -> bool:
    moment = query.meters[0].window if query.state_window is None else query.state_window
    if moment is StateWindow.NOW:
        return window == 0
    if moment is StateWindow.CREATED:
        return in_window(query, window, min(event.time for event in history))
    return in_window(query, window, latest(history).time)

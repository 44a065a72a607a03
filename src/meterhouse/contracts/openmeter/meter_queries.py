"""Querying meters: any span, windows of any zone's calendar, groups and filters."""

from __future__ import annotations

import ast
import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from ...domain.event_search import AllOf, Attribute, Comparison, EventSearch, EventTest, OneOf, TextTest
from ...domain.meter import BY_ORGANIZATION, Meter, MeterQuery
from ...domain.period import Period, format_instant
from ...domain.quantity import MAX_DECIMAL_PLACES, plain, round_half_even
from ...domain.usage_query import Window
from ...ports.snapshots import Snapshot
from ..namespace_contract import Call, Reply, Services
from .customers import subjects_of
from .event_filters import decoded_filter, group_filter
from .group_values import MOST_GROUPS, check_group
from .meters import found_meter
from .query_windows import MINUTE, minute_of, window_of, windows_around, zone_of
from .records import CUSTOMERS, SUBJECTS
from .wire import bad_field, decoded, instant

_MOST_CUSTOMERS = 100
_SUBJECT, _CUSTOMER = "subject", "customer_id"
_MOST_PYTHON = 4_096
"""Characters that are read as Python's."""
_BRACKETS = "filterGroupBy["


class Query(msgspec.Struct, rename="camel"):
    """A question, as a body has it."""

    from_: str | None = msgspec.field(default=None, name="from")
    to: str | None = None
    window_size: str | None = None
    window_time_zone: str = "UTC"
    subject: list[str] = []
    filter_customer_id: list[str] = []
    group_by: list[str] = []
    filter_group_by: dict[str, list[str]] = {}
    advanced_meter_group_by_filters: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class _Row:
    """A number of an answer."""

    value: Decimal
    start: datetime
    end: datetime
    subject: str | None
    customer: str | None
    groups: Mapping[str, str]


def query_meter(call: Call, services: Services) -> Reply:
    """Answers a question that parameters ask."""
    return answer(call, services, _of_parameters(call))


def query_meter_by_body(call: Call, services: Services) -> Reply:
    """Answers a question that a body asks."""
    return answer(call, services, decoded(call.body, Query))


def answer(call: Call, services: Services, query: Query) -> Reply:
    """The answer to a question about the meter that the path names."""
    meter, _ = found_meter(call, services)
    start, end = instant("from", query.from_), instant("to", query.to)
    rows = _Question(call, services, meter, query).rows(start, end)
    if call.headers.get("accept", "").strip() == "text/csv":
        return _as_csv(call, services, meter, query, rows)
    shown: dict[str, object] = {"data": [_shown(row, query) for row in rows]}
    if start is not None:
        shown["from"] = format_instant(start)
    if end is not None:
        shown["to"] = format_instant(end)
    if query.window_size is not None:
        shown["windowSize"] = query.window_size
    return Reply(200, shown)


class _Question:
    """A question, checked against the meter."""

    def __init__(self, call: Call, services: Services, meter: Meter, query: Query):
        """Raises `Refuse`."""
        self._call, self._services, self._meter = call, services, meter
        self._window = Window.NONE if query.window_size is None else window_of(query.window_size)
        self._zone = zone_of(query.window_time_zone)
        if len(query.filter_customer_id) > _MOST_CUSTOMERS:
            raise bad_field("filterCustomerId", f"must be at most {_MOST_CUSTOMERS} ids")
        customers = (CUSTOMERS.get(call, services, each) for each in query.filter_customer_id)
        self._customers = {each.id: each for each in customers}
        if _CUSTOMER in query.group_by and not self._customers:
            raise bad_field("groupBy", "customer_id needs filterCustomerId")
        self._groups = tuple(dict.fromkeys(each for each in query.group_by if each not in (_SUBJECT, _CUSTOMER)))
        for name in (*self._groups, *query.filter_group_by):
            check_group(meter, name)
        self._subjects = tuple(dict.fromkeys(query.subject))
        self._by_subject = bool(self._subjects) or _SUBJECT in query.group_by
        self._filters = [(name, tuple(texts)) for name, texts in query.filter_group_by.items()]
        self._tests: list[tuple[str, Callable[[str], bool]]] = []
        if query.advanced_meter_group_by_filters is not None:
            if query.filter_group_by:
                raise bad_field("advancedMeterGroupByFilters", "cannot be given with filterGroupBy")
            for name, given in query.advanced_meter_group_by_filters.items():
                check_group(meter, name)
                self._tests.append((name, group_filter(f"advancedMeterGroupByFilters.{name}", given)))

    def rows(self, start: datetime | None, end: datetime | None) -> list[_Row]:
        """The numbers, in the order of their windows."""
        if start is not None and end is not None and start >= end:
            raise bad_field("to", "must be after from")
        snapshot = self._services.snapshots.snapshot(self._call.namespace, self._subjects, None)
        period = self._period(start, end)
        if period is None:
            return []
        edges, windows = windows_around(period, self._window, self._zone)
        asked = MeterQuery(
            namespace=self._call.namespace,
            organization=None,
            meters=(self._meter,),
            edges=tuple(edges),
            as_of_commit=snapshot.commit,
            group_by=(*((BY_ORGANIZATION,) if self._by_subject else ()), *self._groups),
            filters=(*self._filters, *self._texts_that_pass(snapshot, period)),
            most_groups=MOST_GROUPS,
        )
        rows: list[_Row] = []
        for customer, subjects in self._parts():
            filters = asked.filters if subjects is None else (*asked.filters, (BY_ORGANIZATION, subjects))
            if subjects != ():
                rows += self._measured(snapshot, replace(asked, filters=filters), windows, customer)
        return sorted(rows, key=lambda row: (row.start, row.customer or "", row.subject or "", *row.groups.values()))

    def _parts(self) -> list[tuple[str | None, tuple[str, ...] | None]]:
        """Each customer with the subjects whose usage is asked about; None for all of them."""
        if not self._customers:
            return [(None, self._subjects or None)]
        return [
            (record.id, tuple(key for key in subjects_of(record) if not self._subjects or key in self._subjects))
            for record in self._customers.values()
        ]

    def _measured(
        self, snapshot: Snapshot, asked: MeterQuery, windows: Sequence[Period], customer: str | None
    ) -> list[_Row]:
        rows = []
        for measure in snapshot.reader.measure(asked):
            texts = list(measure.group)
            subject = texts.pop(0) if self._by_subject else None
            window = windows[measure.window]
            assert window.start is not None
            assert window.end is not None
            value = plain(round_half_even(measure.value, MAX_DECIMAL_PLACES))
            groups = dict(zip(self._groups, texts, strict=True))
            rows.append(_Row(value, window.start, window.end, subject, customer, groups))
        return rows

    def _period(self, start: datetime | None, end: datetime | None) -> Period | None:
        """The span that is asked about; where a side is open, as far as there are events. None where there are none."""
        if start is None:
            first = self._event_time(oldest=True)
            start = None if first is None else minute_of(first)
        if end is None and self._window is not Window.NONE:
            end = self._call.now
        if end is None:
            last = self._event_time(oldest=False)
            end = None if last is None else minute_of(last) + MINUTE
        return Period(start, end) if start is not None and end is not None and start < end else None

    def _event_time(self, *, oldest: bool) -> datetime | None:
        tests: list[EventTest] = [TextTest(Attribute.TYPE, Comparison.EQUAL, self._meter.event_type)]
        subjects = [key for _, some in self._parts() for key in some or ()]
        if subjects:
            tests.append(OneOf(Attribute.ORGANIZATION, tuple(subjects)))
        search = EventSearch(self._call.namespace, AllOf(tuple(tests)), 1, oldest_first=oldest)
        return next((each.event.time for each in self._services.events.search(search)), None)

    def _texts_that_pass(self, snapshot: Snapshot, period: Period) -> list[tuple[str, tuple[str, ...]]]:
        """Filters by tests, as the texts that pass them."""
        filters = []
        for name, passes in self._tests:
            asked = MeterQuery(
                namespace=self._call.namespace,
                organization=None,
                meters=(self._meter,),
                edges=(period.start, period.end),
                as_of_commit=snapshot.commit,
                group_by=(name,),
                most_groups=MOST_GROUPS,
            )
            found = {measure.group[0] for measure in snapshot.reader.measure(asked)}
            filters.append((name, tuple(sorted(filter(passes, found)))))
        return filters


def _of_parameters(call: Call) -> Query:
    filters: dict[str, list[str]] = {}
    for name, text in call.query:
        if name.startswith(_BRACKETS) and name.endswith("]"):
            filters.setdefault(name[len(_BRACKETS) : -1], []).append(text)
        elif name == "filterGroupBy":
            filters |= {group: [wanted] for group, wanted in _of_python(text).items()}
    advanced = call.one("advancedMeterGroupByFilters")
    return Query(
        from_=call.one("from"),
        to=call.one("to"),
        window_size=call.one("windowSize"),
        window_time_zone=call.one("windowTimeZone") or "UTC",
        subject=list(call.every("subject")),
        filter_customer_id=list(call.every("filterCustomerId")),
        group_by=list(call.every("groupBy")),
        filter_group_by=filters,
        advanced_meter_group_by_filters=(
            decoded_filter("advancedMeterGroupByFilters", advanced) if advanced is not None else None
        ),
    )


def _of_python(text: str) -> dict[str, str]:
    """The filters in Python's text of a dict, which is what the Python client sends in the place of parameters."""
    told = "must be filterGroupBy[model]=x for each group"
    try:
        found = ast.literal_eval(text) if len(text) <= _MOST_PYTHON else None
        if not isinstance(found, dict):
            raise bad_field("filterGroupBy", told)
        "".join((*found, *found.values())).encode()  # takes texts alone, and those that can be written
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise bad_field("filterGroupBy", told) from None
    return found


def _shown(row: _Row, query: Query) -> dict[str, object]:
    shown = {
        "value": row.value,
        "windowStart": format_instant(row.start),
        "windowEnd": format_instant(row.end),
        "subject": row.subject,
        "groupBy": row.groups,
    }
    if query.filter_customer_id:
        shown["customerId"] = row.customer
    return shown


def _as_csv(call: Call, services: Services, meter: Meter, query: Query, rows: Sequence[_Row]) -> Reply:
    by_subject = bool(query.subject) or _SUBJECT in query.group_by
    known = SUBJECTS.all(call, services) if by_subject else []
    names = {each.key: each.body["displayName"] for each in known if each.body.get("displayName")}
    columns = ["window_start", "window_end"]
    columns += [_SUBJECT] if by_subject else []
    columns += ["subject_display_name"] if names else []
    columns += [_CUSTOMER] if query.filter_customer_id else []
    groups = [each for each in query.group_by if each not in (_SUBJECT, _CUSTOMER)]
    text = io.StringIO()
    writer = csv.DictWriter(text, [*columns, *groups, "value"], extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        told = {
            "window_start": format_instant(row.start),
            "window_end": format_instant(row.end),
            _SUBJECT: row.subject,
            "subject_display_name": names.get(row.subject, ""),
            _CUSTOMER: row.customer,
            "value": f"{row.value:.6f}",
        }
        writer.writerow({**row.groups, **told})
    headers = {"content-disposition": f"attachment; filename={meter.slug}.csv"}
    return Reply(200, text.getvalue().encode(), "text/csv", headers)

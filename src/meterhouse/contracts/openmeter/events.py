"""Events in, and the list of those that came."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated

import msgspec

from ...domain.errors import Invalid
from ...domain.event import Rejected
from ...domain.event_parser import EventParser
from ...domain.event_search import (
    AllOf,
    Attribute,
    Comparison,
    EventSearch,
    EventTest,
    Moment,
    MomentTest,
    OneOf,
    TextTest,
)
from ...domain.json_reading import decode_data
from ...domain.listing import StoredEvent
from ...domain.period import format_instant
from ...services.ingest import MAX_AHEAD, Report, split_events
from ..namespace_contract import Call, Ingestion, Refuse, Reply, Services
from .customers import customers_of_subjects, subjects_of
from .event_filters import parse_event_filter
from .records import CUSTOMERS
from .validation import Validation
from .wire import FieldError, bad_field, instant, whole_number

MEDIA_TYPES = ("application/cloudevents+json", "application/cloudevents-batch+json", "application/json")
_MOST_LISTED = 100
_TEXT_OR_NO_NUMBER = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?\bInfinity\b|\bNaN\b', re.DOTALL)
"""A text without an end goes to the end of the body: no character is looked at twice, whatever there is."""


class _Given(msgspec.Struct):
    """A CloudEvent as clients write it. Other attributes are passed over."""

    id: str
    source: str
    specversion: str
    type: str
    subject: str
    time: str | None = None
    datacontenttype: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class _Taken(msgspec.Struct, omit_defaults=True):
    """The same as it is stored."""

    id: str
    source: str
    type: str
    subject: str
    data: msgspec.Raw
    specversion: str
    time: str | None = None


_given = msgspec.json.Decoder(_Given)
_cursor = msgspec.json.Decoder(tuple[Annotated[datetime, msgspec.Meta(tz=True)], str, str, str])


def ingest(call: Call, _services: Services) -> Ingestion:
    """Takes all events of a request, or none where one is malformed. What a meter cannot read of an event is no reason:
    it is stored, does not count, and the list says why."""
    if call.media_type not in MEDIA_TYPES:
        raise Refuse(400, f"content-type {call.media_type[:60]!r}: send one of {', '.join(MEDIA_TYPES)}")
    try:
        raws = split_events(_without_odd_numbers(call.body), lines=False)
    except Invalid as wrong:
        raise Refuse(400, str(wrong)) from None
    parser = EventParser(call.namespace, {})
    events, errors = [], list[FieldError]()
    for index, raw in enumerate(raws):
        try:
            events.append(_taken(raw, parser, call.now))
        except (Rejected, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
            code = wrong.code if isinstance(wrong, Rejected) else "invalid_event"
            errors.append(FieldError(f"[{index}]" if len(raws) > 1 else "event", code, str(wrong)))
    if errors:
        rest = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        raise Refuse(400, f"{errors[0].field}: {errors[0].message}{rest}", validationErrors=errors[:_MOST_LISTED])
    return Ingestion(tuple(events), _stored)


def _taken(raw: bytes, parser: EventParser, now: datetime) -> bytes:
    given = _given.decode(raw)
    if given.datacontenttype not in (None, "application/json"):
        raise Rejected(
            "invalid_event", f"datacontenttype {given.datacontenttype[:60]!r}: only application/json is read"
        )
    taken = msgspec.json.encode(
        _Taken(given.id, given.source, given.type, given.subject, given.data, given.specversion, given.time)
    )
    event = parser.parse(taken, now)
    if event.time > now + MAX_AHEAD:
        raise Rejected("invalid_time", f"time: {format_instant(event.time)} is more than {MAX_AHEAD.days} days ahead")
    return taken


def _without_odd_numbers(body: bytes) -> bytes:
    """NaN and Infinity, which some clients write though JSON has no such numbers, as texts: they count for nothing, and
    must not take the other events with them."""
    if b"NaN" not in body and b"Infinity" not in body:
        return body
    return _TEXT_OR_NO_NUMBER.sub(lambda found: found[0] if found[0][:1] == b'"' else b'"' + found[0] + b'"', body)


def _stored(report: Report) -> Reply:
    if report.rejected:
        raise Refuse(400, report.errors[0].message)
    return Reply(204)


def list_events(call: Call, services: Services) -> Reply:
    """The newest events, by their time."""
    tests: list[EventTest] = []
    for name, moment, comparison in (
        ("from", Moment.TIME, Comparison.GREATER_OR_EQUAL),
        ("to", Moment.TIME, Comparison.LESS),
        ("ingestedAtFrom", Moment.STORED_AT, Comparison.GREATER_OR_EQUAL),
        ("ingestedAtTo", Moment.STORED_AT, Comparison.LESS),
    ):
        if (at := instant(name, call.one(name))) is not None:
            tests.append(MomentTest(moment, comparison, at))
    if part := call.one("id"):
        tests.append(TextTest(Attribute.ID, Comparison.LIKE, f"%{escaped(part)}%"))
    if subject := call.one("subject"):
        tests.append(TextTest(Attribute.ORGANIZATION, Comparison.EQUAL, subject))
    if customers := call.every("customerId"):
        found = (CUSTOMERS.get(call, services, each) for each in customers)
        tests.append(OneOf(Attribute.ORGANIZATION, tuple(key for each in found for key in subjects_of(each))))
    limit = whole_number(call, "limit", _MOST_LISTED, _MOST_LISTED)
    stored = services.events.search(EventSearch(call.namespace, AllOf(tuple(tests)), limit))
    return Reply(200, _shown(call, services, stored))


def list_events_by_cursor(call: Call, services: Services) -> Reply:
    """The same, filtered by a JSON text, from page to page."""
    limit = whole_number(call, "limit", _MOST_LISTED, _MOST_LISTED)
    tests = [parse_event_filter(call, services, text)] if (text := call.one("filter")) else []
    below = None
    if cursor := call.one("cursor"):
        try:
            below = _cursor.decode(bytes.fromhex(cursor))
        except (ValueError, msgspec.DecodeError):
            raise bad_field("cursor", "is not one of this list: begin again without") from None
    stored = services.events.search(EventSearch(call.namespace, AllOf(tuple(tests)), limit + 1, below))
    page: dict[str, object] = {"items": _shown(call, services, stored[:limit])}
    if len(stored) > limit:
        last = stored[limit - 1].event
        page["nextCursor"] = msgspec.json.encode((last.time, last.organization, last.source, last.id)).hex()
    return Reply(200, page)


def escaped(text: str) -> str:
    """A text that stands for itself in a pattern."""
    return re.sub(r"([\\%_])", r"\\\1", text)


def _shown(call: Call, services: Services, stored: Sequence[StoredEvent]) -> list[Mapping[str, object]]:
    validation = Validation(services.catalogs.get(call.namespace))
    customers = customers_of_subjects(call, services, {each.event.organization for each in stored})
    voided = {
        (organization, position)
        for organization in {each.event.organization for each in stored}
        for position in services.events.voided([one for one in stored if one.event.organization == organization])
    }
    shown: list[Mapping[str, object]] = []
    for each in stored:
        event, subject = each.event, each.event.organization
        reasons = validation.errors(event)
        if subject not in customers:
            reasons.append(f"no customer found for event subject: {subject}")
        if (subject, each.at) in voided:
            reasons.insert(0, "voided by a correction")
        item: dict[str, object] = {
            "event": {
                "id": event.id,
                "source": event.source,
                "specversion": "1.0",
                "type": event.type,
                "subject": subject,
                "time": format_instant(event.time),
                "datacontenttype": "application/json",
                "data": decode_data(event.data),
            },
            "ingestedAt": format_instant(each.stored_at),
            "storedAt": format_instant(each.stored_at),
        }
        if subject in customers:
            item["customerId"] = customers[subject]
        if reasons:
            item["validationError"] = "\n".join(reasons)
        shown.append(item)
    return shown

"""Events: one, up to a hundred, and the list of those that came."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from ...domain.errors import Invalid
from ...domain.event import Event, Rejected
from ...domain.event_parser import EventParser
from ...domain.event_search import AllOf, Attribute, Comparison, EventSearch, EventTest, Moment, MomentTest, TextTest
from ...domain.json_reading import Property, decode_data
from ...domain.listing import StoredEvent
from ...domain.period import format_instant, parse_instant
from ...services.ingest import MAX_AHEAD, Report
from ..namespace_contract import Call, Ingestion, Refuse, Reply, Services, number_between
from .wire import NAME, instant, invalid, lago_id, written

MOST_EVENTS = 100
_PER_PAGE, _MOST_PER_PAGE, _MOST_LISTED = 20, 100, 10_000
_PRECISE = "precise_total_amount_cents"


class _Given(msgspec.Struct):
    """An event as clients write it."""

    transaction_id: str = ""
    external_subscription_id: str = ""
    code: str = ""
    timestamp: Any = None
    properties: dict[str, Any] | None = None
    precise_total_amount_cents: Any = None


class _One(msgspec.Struct):
    event: _Given


class _Many(msgspec.Struct):
    events: list[_Given]


_one = msgspec.json.Decoder(_One, float_hook=Decimal)
_many = msgspec.json.Decoder(_Many, float_hook=Decimal)
_encode = msgspec.json.Encoder(decimal_format="number").encode


def create_event(call: Call, _services: Services) -> Ingestion:
    """Takes an event."""
    given = _decoded(_one, call.body).event
    taken, wrong = _taken(call, given)
    if taken is None:
        raise invalid(wrong)
    raw, event = taken

    def stored(report: Report) -> Reply:
        _refuse_conflicts(report, alone=True)
        return Reply(200, {"event": _shown(event, call.now)})

    return Ingestion((raw,), stored)


def create_events(call: Call, _services: Services) -> Ingestion:
    """Takes up to a hundred events, or none where one is not valid."""
    given = _decoded(_many, call.body).events
    if len(given) > MOST_EVENTS:
        raise invalid({"events": ["too_many_events"]})
    raws, events, wrong = [], [], dict[int, Mapping[str, list[str]]]()
    for index, each in enumerate(given):
        taken, errors = _taken(call, each)
        if taken is None:
            wrong[index] = errors
        else:
            raws.append(taken[0])
            events.append(taken[1])
    if wrong:
        raise invalid(wrong)

    def stored(report: Report) -> Reply:
        _refuse_conflicts(report, alone=False)
        return Reply(200, {"events": [_shown(event, call.now) for event in events]})

    return Ingestion(tuple(raws), stored)


def get_event(call: Call, services: Services) -> Reply:
    """The event of a transaction; the newest where several subscriptions have one."""
    found = services.events.find_named(call.namespace, [(NAME, call.parameters["transaction"])])
    if not found:
        raise Refuse(404, "there is no such event", code="event_not_found")
    newest = max(found, key=lambda each: each.stored_at)
    return Reply(200, {"event": _shown_stored(newest)})


def list_events(call: Call, services: Services) -> Reply:
    """Events page by page, the newest first by their time."""
    tests: list[EventTest] = [TextTest(Attribute.SOURCE, Comparison.EQUAL, NAME)]
    for name, attribute in (("external_subscription_id", Attribute.ORGANIZATION), ("code", Attribute.TYPE)):
        if text := call.one(name):
            tests.append(TextTest(attribute, Comparison.EQUAL, text))
    for name, comparison in (
        ("timestamp_from", Comparison.GREATER_OR_EQUAL),
        ("timestamp_to", Comparison.LESS_OR_EQUAL),
    ):
        if text := call.one(name):
            tests.append(MomentTest(Moment.TIME, comparison, _moment(name, text)))
    page = _number(call, "page", 1, _MOST_LISTED)
    size = _number(call, "per_page", _PER_PAGE, _MOST_PER_PAGE)
    if page * size > _MOST_LISTED:
        raise invalid({"page": ["too_far: narrow timestamp_from and timestamp_to"]})
    search = EventSearch(call.namespace, AllOf(tuple(tests)), page * size)
    total, found = services.events.found(search), services.events.search(search)[(page - 1) * size :]
    pages = -(-total // size)
    meta = {
        "current_page": page,
        "next_page": page + 1 if page < pages else None,
        "prev_page": page - 1 if page > 1 else None,
        "total_pages": pages,
        "total_count": total,
    }
    return Reply(200, {"events": [_shown_stored(each) for each in found], "meta": meta})


def _decoded(decoder: msgspec.json.Decoder[Any], body: bytes) -> Any:
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ArithmeticError) as wrong:
        raise Refuse(400, f"the body cannot be read: {wrong}", code="bad_request") from None


def _taken(call: Call, given: _Given) -> tuple[tuple[bytes, Event] | None, Mapping[str, list[str]]]:
    """The event that is given, in JSON and as it is read; or what is wrong with its fields."""
    names = ("transaction_id", "external_subscription_id", "code")
    wrong = {name: ["value_is_mandatory"] for name in names if not getattr(given, name)}
    at = call.now if given.timestamp is None else instant(given.timestamp)
    if at is None or at > call.now + MAX_AHEAD:
        wrong["timestamp"] = ["invalid_format"]
    if wrong or at is None:
        return None, wrong
    data: dict[str, Any] = dict(given.properties or {})
    if given.precise_total_amount_cents is not None:
        data[_PRECISE] = str(given.precise_total_amount_cents)
    raw = _encode(
        {
            "specversion": "1.0",
            "id": given.transaction_id,
            "source": NAME,
            "type": given.code,
            "subject": given.external_subscription_id,
            "time": format_instant(at),
            "data": data,
        }
    )
    try:
        return (raw, EventParser(call.namespace, {}).parse(raw, call.now)), {}
    except Rejected as rejected:
        return None, {"properties": [str(rejected)]}


def _refuse_conflicts(report: Report, *, alone: bool) -> None:
    """Raises `Refuse` where a transaction is known with other content; the same again is no conflict."""
    if not (report.conflicts or report.rejected):
        return
    taken = {"transaction_id": ["value_already_exist"]}
    errors = {
        failure.index: taken if failure.code == "conflict" else {"properties": [failure.message]}
        for failure in report.errors
    }
    raise invalid(errors[0] if alone else errors)


def _shown_stored(stored: StoredEvent) -> Mapping[str, object]:
    return _shown(stored.event, stored.stored_at)


def _shown(event: Event, created_at: datetime) -> Mapping[str, object]:
    properties: Property = decode_data(event.data)
    assert isinstance(properties, dict)  # as the data of every event
    precise = properties.pop(_PRECISE, None)
    return {
        "lago_id": lago_id(event.namespace, event.organization, event.id),
        "transaction_id": event.id,
        "lago_customer_id": None,
        "code": event.type,
        "timestamp": written(event.time),
        "precise_total_amount_cents": precise,
        "properties": properties,
        "lago_subscription_id": None,
        "external_subscription_id": event.organization,
        "created_at": written(created_at),
    }


def _moment(name: str, text: str) -> datetime:
    at = instant(text)
    if at is None:
        try:
            return parse_instant(text)
        except Invalid:
            raise invalid({name: ["invalid_format"]}) from None
    return at


def _number(call: Call, name: str, default: int, most: int) -> int:
    number = number_between(call.one(name) or str(default), 1, most)
    if number is None:
        raise invalid({name: ["value_is_out_of_range"]})
    return number

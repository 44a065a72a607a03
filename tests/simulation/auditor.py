"""An auditor's books: everything that was taken in, reread from the start for every question.

Slow and obvious on purpose, and it knows nothing of the product but what its pages say. Sums are fractions; what was
known at a moment is what had been received by then.
"""

from __future__ import annotations

import calendar
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import count, pairwise
from typing import Any, TypeAlias

from simulation.catalogs_by_hand import METERS, PLANS, UNMETERED, Meter

Json: TypeAlias = Any
Answer: TypeAlias = tuple[int, Json]
Identity: TypeAlias = tuple[str, str, str, str]

ANYTHING = object()
"""What the pages leave open: ids, and texts for people."""

CONTRACTS = {name: "unsiloed" if name == "eight" else name for name in METERS}
READS = {"onepin": "workspace:read", "octolens": "read"}
ERASED = "erased:"


@dataclass
class Event:
    """An event as it was first received, and every word said on whether it counts."""

    namespace: str
    source: str
    id: str
    type: str
    subject: str
    time: datetime
    data: dict[str, Json]
    stored_at: datetime
    number: int
    words: list[tuple[datetime, bool]] = field(default_factory=list)

    def counts(self, as_of: datetime | None) -> bool:
        known = [voided for said_at, voided in self.words if as_of is None or said_at <= as_of]
        return (as_of is None or self.stored_at <= as_of) and not (known and known[-1])

    @property
    def identity(self) -> Identity:
        return self.namespace, self.subject, self.source, self.id


@dataclass
class Key:
    organization: str
    scopes: set[str]
    user_id: str | None
    expires_at: datetime | None
    revoked: bool = False
    id: str = ""


@dataclass
class Organization:
    id: str
    name: str
    namespace: str
    created_at: datetime
    deleted: bool = False
    subscription: dict[str, Json] | None = None
    granted_at: dict[str, tuple[Fraction, datetime]] = field(default_factory=dict)


@dataclass
class Made:
    """A correction that was made."""

    actor: str
    reason: str
    undoes: str | None
    steps: list[tuple[str, Event, str | None]]
    """What was done, to which event, and the id of the one that replaces it."""


def instant(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def written(moment: datetime | None) -> str | None:
    return None if moment is None else moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def in_seconds(moment: datetime) -> str | None:
    """As contracts write it: cut to whole seconds."""
    return written(moment.replace(microsecond=0))


def parsed(text: str | bytes) -> Json:
    """JSON with every number as the decimal that it is written as."""
    return json.loads(text, parse_float=Decimal, parse_int=Decimal)


def exact(value: Fraction | int) -> Decimal:
    """A number with just its digits, of which there must be an end."""
    value, places = Fraction(value), 0
    while (value * 10**places).denominator != 1:
        places += 1
    return Decimal(f"{(value * 10**places).numerator}E-{places}")


def half_even(value: Fraction, places: int) -> Fraction:
    return Fraction(round(value * 10**places), 10**places)


def half_up(value: Fraction, places: int) -> Fraction:
    size = (abs(value) * 10**places + Fraction(1, 2)) // 1
    return Fraction(size if value >= 0 else -size, 10**places)


def quantity(value: Json) -> Fraction | None:
    """A number, or a decimal text: 38 digits at most, 28 of them after the point."""
    text = value if isinstance(value, str) else str(value) if isinstance(value, Decimal) else ""
    if not re.fullmatch(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]{1,3})?", text):
        return None
    number, places = Fraction(Decimal(text)), 0
    while (number * 10**places).denominator != 1:
        places += 1
    digits = len(str(abs((number * 10**places).numerator)))
    return number if places <= 28 and digits <= 38 else None


def text_at(data: Json, path: str) -> str:
    """What a property says, as a text; numbers without zeros at the end."""
    for name in path.split("."):
        data = data.get(name) if isinstance(data, dict) else None
    if isinstance(data, bool):
        return "true" if data else "false"
    if isinstance(data, Decimal):
        return format(exact(Fraction(data)), "f")
    return data if isinstance(data, str) else ""


def same(first: Json, second: Json) -> bool:
    """Equal as JSON; what was erased may have been any text or number."""
    if isinstance(first, str) and first.startswith(ERASED) and isinstance(second, str | Decimal):
        return True
    if isinstance(first, dict) and isinstance(second, dict):
        return first.keys() == second.keys() and all(same(first[name], second[name]) for name in first)
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(same, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)


def wrong_value(namespace: str, type: str, data: dict[str, Json]) -> bool:
    """Whether a meter that reads the type cannot read the data."""
    for meter in METERS[namespace]:
        if meter.type != type:
            continue
        if meter.how in ("SUM", "MIN", "MAX", "AVG", "LATEST"):
            for name in meter.values:
                if not (meter.optional and name not in data) and quantity(data.get(name)) is None:
                    return True
            continue
        texts = meter.values if meter.how == "UNIQUE_COUNT" else tuple(filter(None, (meter.entity, meter.state)))
        if any(not text_at(data, name) for name in texts) and not meter.optional:
            return True
        if meter.states and text_at(data, meter.state) not in meter.states:
            return True
    return False


def latest(events: list[Event]) -> Event:
    """The one with the latest time; of two at one time, that stored last."""
    return max(events, key=lambda event: (event.time, event.number))


def months_after(anchor: datetime, months: int) -> datetime:
    year, month = divmod(anchor.year * 12 + anchor.month - 1 + months, 12)
    day = min(anchor.day, calendar.monthrange(year, month + 1)[1])
    return anchor.replace(year=year, month=month + 1, day=day)


def cycle(anchor: datetime, interval: str, moment: datetime) -> tuple[datetime, datetime]:
    """The cycle a moment lies in: starts are listed one by one from the anchor, forwards or backwards."""

    def start(number: int) -> datetime:
        if interval.endswith("D"):
            return anchor + timedelta(days=int(interval[1:-1])) * number
        return months_after(anchor, int(interval[1:-1]) * number)

    number = 0
    while start(number) > moment:
        number -= 1
    while start(number + 1) <= moment:
        number += 1
    return start(number), start(number + 1)


class Books:
    """What was taken in, and what follows from it."""

    def __init__(self, now: datetime):
        self.now = now
        self.stored_at = now
        self.events: dict[Identity, Event] = {}
        self.contradictions: list[tuple[Identity, str, str, str]] = []
        self.organizations: dict[str, Organization] = {}
        self.keys: dict[str, Key] = {}
        self.corrections: dict[tuple[str, str], Made] = {}
        self._numbers = count()

    def committed(self) -> datetime:
        """The time of storing: the clock's, except that it never goes back."""
        self.stored_at = max(self.stored_at, self.now)
        return self.stored_at

    def subscribe(self, organization: Organization, body: dict[str, Json]) -> None:
        granted = {}
        organization.subscription = body
        running = self.period(organization, self.now)
        for meter, grant in body.get("addons", {}).items():
            amount = quantity(grant.get("one_time", Decimal(0)))
            assert amount is not None
            before = organization.granted_at.get(meter)
            if amount:
                again = before is not None and before[0] == amount and within(before[1], *running)
                granted[meter] = before if before is not None and again else (amount, self.now)
        organization.granted_at = granted

    def caller(self, secret: str | None, contract: str | None = None) -> Key | None:
        """Whose valid key this is; with a contract, only if it is one of its keys."""
        key = self.keys.get(secret or "")
        if key is None or key.revoked or (key.expires_at is not None and self.now >= key.expires_at):
            return None
        own = CONTRACTS[self.organizations[key.organization].namespace]
        return key if contract in (None, own) else None

    def ingest(self, namespace: str, sent: list[Json], only: str | None = None) -> Json:
        """What is reported of a batch."""
        report: dict[str, Json] = {"ingested": 0, "duplicates": 0, "conflicts": 0, "rejected": 0, "unmatched": 0}
        report |= {"errors": [], "errors_omitted": 0, "position": ANYTHING}
        fresh: list[Event] = []
        news = False
        for index, raw in enumerate(sent):
            event = self.event(namespace, raw)
            code = event if isinstance(event, str) else None
            if code is None and only is not None and raw["subject"] != only:
                code = "forbidden"
            if code is None and self.deleted(namespace, raw["subject"]):
                code = "organization_deleted"
            if isinstance(event, Event) and code is None:
                first = self.events.get(event.identity)
                if first is None:
                    self.events[event.identity] = event
                    fresh.append(event)
                    report["ingested"] += 1
                    expected = {UNMETERED.get(namespace), *(meter.type for meter in METERS[namespace])}
                    report["unmatched"] += event.type not in expected
                elif first.type == event.type and same(first.data, event.data):
                    report["duplicates"] += 1
                else:
                    code = "conflict"
                    said = (event.identity, event.type, event.subject, str(event.data))
                    news |= said not in self.contradictions
                    self.contradictions.append(said)
            if code is not None:
                report["conflicts" if code == "conflict" else "rejected"] += 1
                error = {"index": Decimal(index), "id": raw.get("id"), "code": code, "message": ANYTHING}
                report["errors"].append(error)
        if fresh or news:
            at = self.committed()
            for event in fresh:
                event.stored_at = at
        return {name: Decimal(each) if isinstance(each, int) else each for name, each in report.items()}

    def deleted(self, namespace: str, organization: str) -> bool:
        known = self.organizations.get(organization)
        return known is not None and known.deleted and known.namespace == namespace

    def event(self, namespace: str, raw: Json) -> Event | str:
        """The event in a CloudEvent, or the code that it is rejected with."""
        attributes = [raw.get(name) for name in ("source", "id", "type", "subject")]
        data = {} if raw.get("data") is None else raw["data"]
        if any(not isinstance(each, str) or not 1 <= len(each) <= 512 for each in attributes):
            return "invalid_event"
        if raw.get("specversion") != "1.0" or raw["type"].startswith("meterhouse.") or not isinstance(data, dict):
            return "invalid_event"
        try:
            time = self.now if raw.get("time") is None else instant(raw["time"])
        except ValueError:
            return "invalid_time"
        if wrong_value(namespace, raw["type"], data):
            return "invalid_value"
        source, id, type, subject = attributes
        return Event(namespace, source, id, type, subject, time, data, self.stored_at, next(self._numbers))

    def counted(self, namespace: str, organization: str, as_of: datetime | None = None) -> list[Event]:
        """The organization's events that count, or that counted at a moment."""
        return [
            event
            for event in self.events.values()
            if (event.namespace, event.subject) == (namespace, organization) and event.counts(as_of)
        ]

    def used(self, meter: Meter, events: list[Event], start: datetime | None, end: datetime | None) -> Fraction | None:
        """A meter over a period. None: there is nothing to take a minimum, maximum, average or latest of."""
        if meter.how == "STATE_COUNT":
            return Fraction(sum(map(len, self.entities(meter, events, start, end, states=meter.counted).values())))
        inside = [event for event in events if event.type == meter.type and within(event.time, start, end)]
        if meter.how == "COUNT":
            return Fraction(len(inside))
        if meter.how == "UNIQUE_COUNT":
            return Fraction(len({text_at(event.data, meter.values[0]) for event in inside} - {""}))
        values = [
            sum((quantity(event.data.get(name)) or Fraction(0) for name in meter.values), Fraction(0))
            for event in inside
        ]
        if meter.how == "SUM":
            return sum(values, Fraction(0))
        if not inside:
            return None
        if meter.how == "LATEST":
            return values[inside.index(latest(inside))]
        if meter.how == "AVG":
            return half_even(sum(values, Fraction(0)) / len(values), 28)
        return min(values) if meter.how == "MIN" else max(values)

    def entities(
        self,
        meter: Meter,
        events: list[Event],
        start: datetime | None,
        end: datetime | None,
        *,
        states: tuple[str, ...] = (),
        window: str | None = None,
    ) -> dict[str, list[list[Event]]]:
        """The histories of a STATE_COUNT's entities in a period, by the state that each is in now."""
        histories: dict[str, list[Event]] = {}
        for event in events:
            if event.type == meter.type:
                histories.setdefault(text_at(event.data, meter.entity), []).append(event)
        found: dict[str, list[list[Event]]] = {}
        for history in histories.values():
            state = text_at(latest(history).data, meter.state)
            moment = {"changed": latest(history).time, "created": min(event.time for event in history), "now": None}
            decides = moment[window or meter.window]
            if (decides is None or within(decides, start, end)) and (not states or state in states):
                found.setdefault(state, []).append(history)
        return found

    def period(self, organization: Organization | None, moment: datetime) -> tuple[datetime | None, datetime | None]:
        """The usage period of the subscription that the organization has now."""
        if organization is None or organization.subscription is None:
            return None, None
        anchor, interval = instant(organization.subscription["anchor"]), organization.subscription["interval"]
        return (anchor, None) if interval is None else cycle(anchor, interval, moment)

    def limit(self, organization: Organization, slug: str, moment: datetime) -> Fraction | None:
        """The limit of a meter: the override, else the plan's, and the add-ons on top."""
        subscription = organization.subscription
        if subscription is None:
            return Fraction(0)
        if slug in subscription.get("limits", {}):
            base = quantity(subscription["limits"][slug])
        elif subscription["plan"] is None:
            base = Fraction(0)
        else:
            limits = PLANS[organization.namespace][subscription["plan"]]
            base = Fraction(limits[slug]) if slug in limits else None
        if base is None:
            return None
        recurring = quantity(subscription.get("addons", {}).get(slug, {}).get("recurring", Decimal(0)))
        once, granted_at = organization.granted_at.get(slug, (Fraction(0), self.now))
        return base + (recurring or 0) + (once if within(granted_at, *self.period(organization, moment)) else 0)

    def usage(self, organization_id: str, secret: str | None, as_of: str | None = None) -> Answer:
        """The product's own usage endpoint; `secret` None is the operator."""
        organization = self.organizations.get(organization_id)
        if secret is not None:
            key = self.caller(secret)
            if key is None or self.organizations[key.organization].deleted:
                return 401, problem("unauthorized")
            own = self.organizations[key.organization].namespace
            if key.organization != organization_id or READS.get(own, "usage:read") not in key.scopes:
                return 403, problem("forbidden")
        if organization is None or organization.deleted:
            return 404, problem("not_found")
        moment = self.now if as_of is None else instant(as_of)
        if moment > self.now:
            return 400, problem("invalid")
        events = self.counted(organization.namespace, organization_id, None if as_of is None else moment)
        start, end = self.period(organization, moment)
        period = {"start": written(start), "end": written(end)}
        meters = {}
        for meter in METERS[organization.namespace]:
            used, limit = self.used(meter, events, start, end), self.limit(organization, meter.slug, moment)
            told = used or Fraction(0)
            meters[meter.slug] = {
                "unit": meter.unit,
                "aggregation": meter.how,
                "used": None if used is None else exact(used),
                "limit": None if limit is None else exact(limit),
                "remaining": None if limit is None else exact(max(limit - told, Fraction(0))),
                "overage": None if limit is None else exact(max(told - limit, Fraction(0))),
                "percent": exact(half_even(told * 100 / limit, 2)) if limit else None,
                "period": period,
                "resets_at": written(end),
                "previous": self.previous(organization, meter, events, (start, end), moment),
                "forecast": ANYTHING,
            }
        return 200, {
            "organization": organization_id,
            "name": organization.name,
            "namespace": organization.namespace,
            "plan": organization.subscription["plan"] if organization.subscription else None,
            "as_of": written(moment),
            "period": period,
            "resets_at": written(end),
            "position": ANYTHING,
            "meters": meters,
        }

    def previous(
        self,
        organization: Organization,
        meter: Meter,
        events: list[Event],
        period: tuple[datetime | None, datetime | None],
        moment: datetime,
    ) -> Json:
        """A meter in the usage period before, and in as many whole quarters of an hour of it as have passed of this."""
        start, end = period
        if start is None or end is None or meter.window == "now":
            return None
        if start <= instant(organization.subscription["anchor"]):
            return None
        before, _ = self.period(organization, start - timedelta(microseconds=1))
        assert before is not None
        quarters = (min(moment, end) - start) // timedelta(minutes=15)
        by_now = min(before + quarters * timedelta(minutes=15), start)
        whole, part = (self.used(meter, events, before, until) for until in (start, by_now))
        return {"used": None if whole is None else exact(whole), "used_by_now": None if part is None else exact(part)}

    def query(
        self, namespace: str, organization: str | None, slug: str, span: tuple[date, int], as_of: str | None
    ) -> Answer:
        """Days (UTC) of a meter, of one organization or by organization of a whole namespace; for the operator."""
        [meter], (first, days) = [meter for meter in METERS[namespace] if meter.slug == slug], span
        moment = self.now if as_of is None else instant(as_of)
        known = self.organizations.get(organization or "")
        if organization is not None and (known is None or known.deleted):
            return 404, problem("not_found")
        if moment > self.now:
            return 400, problem("invalid")
        midnights = [datetime.combine(first, time(), UTC) + timedelta(days=number) for number in range(days + 1)]
        names = sorted({event.subject for event in self.events.values() if event.namespace == namespace})
        counted = {name: self.counted(namespace, name, None if as_of is None else moment) for name in names}

        def told(of: list[list[Event]]) -> dict[str, Json]:
            def one(start: datetime, end: datetime) -> Decimal | None:
                if meter.how == "STATE_COUNT":  # whose entities are each organization's own
                    return exact(sum((self.used(meter, events, start, end) or 0 for events in of), Fraction(0)))
                every = sorted((event for events in of for event in events), key=lambda event: event.number)
                used = self.used(meter, every, start, end)
                return None if used is None else exact(used)

            windows = [
                {"start": written(start), "end": written(end), "label": str(start.date()), "value": one(start, end)}
                for start, end in pairwise(midnights)
            ]
            return {"total": one(midnights[0], midnights[-1]), "windows": windows}

        asked: dict[str, Json] = {"meter": slug, "unit": meter.unit, "aggregation": meter.how}
        if organization is not None:
            asked |= told([counted.get(organization, [])])
        else:
            asked |= told([*counted.values()])
            groups = {name: told([events]) for name, events in counted.items() if self.any(meter, events, midnights)}
            ranked = sorted(groups, key=lambda name: (-Fraction(groups[name]["total"]), name))
            asked["groups"] = [{"group": {"organization": name}, "share": ANYTHING, **groups[name]} for name in ranked]
            asked["other"] = None
        return 200, {
            "from": written(midnights[0]),
            "to": written(midnights[-1]),
            "timezone": "UTC",
            "window": "day",
            "as_of": written(moment),
            "position": ANYTHING,
            "meters": [asked],
        }

    def any(self, meter: Meter, events: list[Event], midnights: list[datetime]) -> bool:
        """Whether a meter has anything to count in a span."""
        if meter.how in ("STATE_COUNT", "UNIQUE_COUNT"):
            return bool(self.used(meter, events, midnights[0], midnights[-1]))
        return any(event.type == meter.type and within(event.time, midnights[0], midnights[-1]) for event in events)


def within(moment: datetime, start: datetime | None, end: datetime | None) -> bool:
    return (start is None or start <= moment) and (end is None or moment < end)


def problem(code: str) -> Json:
    return {
        "type": "about:blank",
        "title": ANYTHING,
        "status": ANYTHING,
        "detail": ANYTHING,
        "code": code,
        "request_id": ANYTHING,
    }


def differences(expected: Json, given: Json, where: str = "") -> Iterator[str]:
    """Where two answers differ: numbers by their digits as they are written."""
    if expected is ANYTHING:
        return
    if isinstance(expected, dict) and isinstance(given, dict):
        for name in [*expected, *(each for each in given if each not in expected)]:
            if name not in expected or name not in given:
                yield f"{where}.{name} is {'missing' if name in expected else 'too much'}"
            else:
                yield from differences(expected[name], given[name], f"{where}.{name}")
    elif isinstance(expected, list) and isinstance(given, list):
        if len(expected) != len(given):
            yield f"{where} has {len(given)} entries, not {len(expected)}"
        for number, (one, other) in enumerate(zip(expected, given, strict=False)):
            yield from differences(one, other, f"{where}[{number}]")
    elif isinstance(expected, Decimal) and isinstance(given, Decimal):
        if format(expected, "f") != format(given, "f"):
            yield f"{where} is {given:f}, not {expected:f}"
    elif type(expected) is not type(given) or expected != given:
        yield f"{where} is {given!r}, not {expected!r}"

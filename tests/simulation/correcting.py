"""What the auditor makes of corrections and erasures: which are refused, and what they change."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TypeAlias

from simulation.auditor import (
    ANYTHING,
    Answer,
    Books,
    Event,
    Json,
    Made,
    Organization,
    exact,
    problem,
    text_at,
    written,
)
from simulation.catalogs_by_hand import METERS

Places: TypeAlias = list[tuple[str, Organization | None, tuple[datetime | None, datetime | None]]]
CODES = {400: "invalid", 404: "not_found", 409: "already_exists"}


class _Refused(Exception):
    def __init__(self, status: int):
        self.answer: Answer = (status, problem(CODES[status]))


def correct(books: Books, namespace: str, body: Json, *, preview: bool = False) -> Answer:
    """The answer to a correction, which is in the books then."""
    made = books.corrections.get((namespace, body["id"]))
    try:
        if made is not None:
            return _again(namespace, body, made, applied=not preview)
        steps = _steps(books, namespace, body)
    except _Refused as refused:
        return refused.answer
    return _make(books, namespace, body, Made(body["actor"], body["reason"], None, steps), preview=preview)


def undo(books: Books, namespace: str, undone_id: str, body: Json, *, preview: bool = False) -> Answer:
    """The answer to an undoing."""
    undone, made = books.corrections.get((namespace, undone_id)), books.corrections.get((namespace, body["id"]))
    if undone is None:
        return 404, problem("not_found")
    if made is not None:
        return _again_or_refused(namespace, body, made, applied=not preview)
    if any(event.counts(None) is (action == "void") for action, event, _ in undone.steps):
        return 400, problem("invalid")
    opposite: list[tuple[str, Event, str | None]] = [
        ("restore" if action == "void" else "void", event, None) for action, event, _ in undone.steps
    ]
    return _make(books, namespace, body, Made(body["actor"], body["reason"], undone_id, opposite), preview=preview)


def erase(books: Books, organization: Organization, path: str, value: str, word: str) -> None:
    """One word takes the place of another, in everything that was received until now."""
    for event in books.events.values():
        if (event.namespace, event.subject) == (organization.namespace, organization.id) and text_at(
            event.data, path
        ) == value:
            *outer, name = path.split(".")
            inner = event.data
            for each in outer:
                inner = inner[each]
            inner[name] = word
    for key in books.keys.values():
        if key.organization == organization.id and key.user_id == value:
            key.user_id = word
    books.committed()


def _again_or_refused(namespace: str, body: Json, made: Made, *, applied: bool) -> Answer:
    try:
        return _again(namespace, body, made, applied=applied)
    except _Refused as refused:
        return refused.answer


def _again(namespace: str, body: Json, made: Made, *, applied: bool) -> Answer:
    """A request with the id of a correction that was made changes nothing and is answered with that one."""
    if (made.actor, made.reason) != (body["actor"], body["reason"]):
        raise _Refused(409)
    return 200, _told(namespace, body["id"], made, applied=applied, at=ANYTHING, effects=ANYTHING)


def _steps(books: Books, namespace: str, body: Json) -> list[tuple[str, Event, str | None]]:
    amended = body.get("amend", [])
    if not body.get("void") and not amended and not body.get("add"):
        raise _Refused(400)
    voided = [_named(books, namespace, each) for each in body.get("void", [])]
    replaced = [_named(books, namespace, each) for each in amended]
    if len({event.identity for event in voided + replaced}) < len(voided + replaced):
        raise _Refused(400)
    if not all(event.counts(None) for event in voided + replaced):
        raise _Refused(400)
    added = [_new(books, namespace, raw) for raw in body.get("add", [])]
    steps: list[tuple[str, Event, str | None]] = []
    for change, old in zip(amended, replaced, strict=True):
        raw = {"specversion": "1.0", "source": old.source, "id": f"{old.id}~{body['id']}", "subject": old.subject}
        raw |= {"type": change.get("type", old.type), "time": change.get("time", written(old.time))}
        new = _new(books, namespace, raw | {"data": change.get("data", old.data)})
        added.append(new)
        steps.append(("void", old, new.id))
    identities = [event.identity for event in added]
    if len(set(identities)) < len(identities):
        raise _Refused(400)
    if any(each in books.events for each in identities):
        raise _Refused(409)
    if any(books.deleted(namespace, raw["subject"]) for raw in body.get("add", [])):
        raise _Refused(400)
    return [*(("add", event, None) for event in added), *(("void", event, None) for event in voided), *steps]


def _named(books: Books, namespace: str, name: Json) -> Event:
    """The event of that name; without an organization only one may have it."""
    found = [
        event
        for event in books.events.values()
        if (event.namespace, event.source, event.id) == (namespace, name["source"], name["id"])
        and name.get("organization") in (None, event.subject)
    ]
    if len(found) != 1:
        raise _Refused(400 if found else 404)
    return found[0]


def _new(books: Books, namespace: str, raw: Json) -> Event:
    event = books.event(namespace, raw)
    if isinstance(event, str):
        raise _Refused(400)
    return event


def _make(books: Books, namespace: str, body: Json, made: Made, *, preview: bool) -> Answer:
    places: Places = []
    for _, event, _ in made.steps:
        organization = books.organizations.get(event.subject)
        if organization is not None and organization.namespace != namespace:
            organization = None
        place = (event.subject, organization, books.period(organization, event.time))
        if place not in places:
            places.append(place)
    before = [_all_used(books, namespace, *place) for place in places]
    at = max(books.stored_at, books.now)
    for action, event, _ in made.steps:
        if action == "add":
            event.stored_at = at
            books.events[event.identity] = event
        else:
            event.words.append((at, action == "void"))
    after = [_all_used(books, namespace, *place) for place in places]
    if preview:
        for action, event, _ in made.steps:
            if action == "add":
                del books.events[event.identity]
            else:
                event.words.pop()
    else:
        books.committed()
        books.corrections[namespace, body["id"]] = made
    effects = [
        {
            "organization": name,
            "period": {"start": written(period[0]), "end": written(period[1])},
            "meters": {slug: {"before": old[slug], "after": new[slug]} for slug in old if old[slug] != new[slug]},
        }
        for (name, _, period), old, new in zip(places, before, after, strict=True)
    ]
    at_told = written(books.now)
    return 200, _told(namespace, body["id"], made, applied=not preview, at=at_told, effects=effects)


def _all_used(
    books: Books,
    namespace: str,
    name: str,
    _: Organization | None,
    period: tuple[datetime | None, datetime | None],
) -> dict[str, Decimal | None]:
    events = books.counted(namespace, name)
    found = {meter.slug: books.used(meter, events, *period) for meter in METERS[namespace]}
    return {slug: None if used is None else exact(used) for slug, used in found.items()}


def _told(namespace: str, id: str, made: Made, *, applied: bool, at: Json, effects: Json) -> Json:
    """A correction as it is answered."""
    steps = []
    for action, event, replaced_by in made.steps:
        step: dict[str, Json] = {"action": action, "source": event.source, "id": event.id}
        step |= {"organization": event.subject, "type": event.type, "time": written(event.time)}
        if replaced_by is not None:
            step["replaced_by"] = {"source": event.source, "id": replaced_by}
        steps.append(step)
    return {
        "id": id,
        "namespace": namespace,
        "actor": made.actor,
        "reason": made.reason,
        "undoes": made.undoes,
        "at": at,
        "applied": applied,
        "steps": steps,
        "effects": effects,
    }

"""`meterhouse why`, `void`, `amend`, `undo` and `erase`: what became of an event, and making it right."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import quote

import msgspec
from cyclopts import App, Parameter

from .arguments import Json
from .target import Target, connect
from .terminal import Failed, out, print_json, print_table

_LOCAL = Target()


def register(app: App) -> None:
    """Adds the commands."""
    for command in (why, void, amend, undo, erase):
        app.command(command)


def why(
    source: str,
    event_id: str,
    *,
    namespace: str,
    organization: str | None = None,
    json: Json = False,
    target: Target = _LOCAL,
) -> None:
    """Tells an event's whole story: when it came, where it counts, or why it does not.

    Parameters
    ----------
    source
        The event's source.
    event_id
        The event's id.
    namespace
        The namespace of the event.
    organization
        The event's organization; may be left out while only one has an event of that source and id.
    """
    place = "/".join(quote(part, safe="") for part in (namespace, "events", source, event_id))
    query = {} if organization is None else {"organization": organization}
    with connect(target, engine=True) as client:
        story = client.call("GET", f"/v1/namespaces/{place}", query=query)
    if json:
        print_json(story)
    else:
        _print_story(story)


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Correcting:
    """Who corrects what, and why."""

    namespace: str
    """The namespace of the event."""
    actor: str
    """Who corrects."""
    reason: str
    """Why."""
    preview: Annotated[bool, Parameter(negative="")] = False
    """Only tells what would change."""
    json: Json = False


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class CorrectingEvent(Correcting):
    """Which event is corrected."""

    organization: str | None = None
    """The event's organization; may be left out while only one has an event of that source and id."""


def void(source: str, event_id: str, *, correcting: CorrectingEvent, target: Target = _LOCAL) -> None:
    """Takes an event out of everything that is counted. It stays stored, and `undo` brings it back.

    Parameters
    ----------
    source
        The event's source.
    event_id
        The event's id.
    """
    _correct(target, correcting, {"void": [_named(source, event_id, correcting)]})


def amend(
    source: str,
    event_id: str,
    *,
    correcting: CorrectingEvent,
    data: str | None = None,
    time: str | None = None,
    type: str | None = None,
    target: Target = _LOCAL,
) -> None:
    """Replaces an event by one that says it as it should have been said; what is not named stays as it was.

    Parameters
    ----------
    source
        The event's source.
    event_id
        The event's id.
    data
        Its data, a JSON object.
    time
        Its time, an RFC 3339 instant.
    type
        Its type.
    """
    changed: dict[str, object] = {"data": msgspec.Raw(data.encode()) if data else None, "time": time, "type": type}
    amended = {name: value for name, value in changed.items() if value is not None}
    if not amended:
        raise Failed("nothing to amend: name --data, --time or --type")
    _correct(target, correcting, {"amend": [{**_named(source, event_id, correcting), **amended}]})


def undo(correction: str, *, correcting: Correcting, target: Target = _LOCAL) -> None:
    """Takes a correction back, by another one.

    Parameters
    ----------
    correction
        The id of the correction.
    """
    _correct(target, correcting, {}, f"/{quote(correction, safe='')}/undo")


def erase(
    organization: str,
    *,
    path: Annotated[str, Parameter(name="--property")],
    value: str,
    erasure: Annotated[str, Parameter(name="--id")],
    actor: str,
    reason: str,
    target: Target = _LOCAL,
) -> None:
    """Replaces what an organization's events say of a person by a word that says nothing, for good.

    Prints the receipt.

    Parameters
    ----------
    organization
        The organization.
    path
        The property that says it, like user_id or user.id.
    value
        What it says.
    erasure
        A name for the erasure, of your own: with it an interrupted one is finished.
    actor
        Who erases.
    reason
        Why.
    """
    body = {"id": erasure, "organization": organization, "property": path, "value": value}
    with connect(target, engine=True) as client:
        print_json(client.call("POST", "/v1/erasures", {**body, "actor": actor, "reason": reason}))


def _named(source: str, event_id: str, correcting: CorrectingEvent) -> dict[str, object]:
    named = {"source": source, "id": event_id, "organization": correcting.organization}
    return {name: value for name, value in named.items() if value is not None}


def _correct(target: Target, correcting: Correcting, what: Mapping[str, object], path: str = "") -> None:
    body = {"actor": correcting.actor, "reason": correcting.reason, **what}
    query = {"namespace": correcting.namespace, "preview": "true" if correcting.preview else "false"}
    with connect(target, engine=True) as client:
        made = client.call("POST", f"/v1/corrections{path}", body, query=query)
    if correcting.json:
        print_json(made)
        return
    rows = [
        [effect["organization"], effect["period"]["start"], slug, each["before"], each["after"]]
        for effect in made["effects"]
        for slug, each in effect["meters"].items()
    ]
    title = "What would change" if correcting.preview else f"Correction {made['id']}"
    print_table(title, ["organization", "period from", "meter", "before #", "after #"], rows)


def _print_story(story: dict[str, Any]) -> None:
    _line(story["state"], story["because"])
    _line(f"received {story['received_at']} in commit {story['commit']}, of {story['organization']}, {story['time']}")
    rows = [
        [
            each["meter"],
            each["not_counted_because"] or _told(each),
            ", ".join(f"{name}={text}" for name, text in each["groups"].items()),
        ]
        for each in story["meters"]
    ]
    period = story["period"]
    _line(f"in the usage period from {period['start'] or 'the beginning'} to {period['end'] or 'the end of time'}")
    print_table("What it is to each meter", ["meter", "counts for", "groups"], rows)
    for word in story["corrections"]:
        _line(f"{word['action']} {word['at']} by {word['actor']}, correction {word['correction']}", word["reason"])
    for conflict in story["conflicts"]:
        _line(f"contradicted {conflict['at']}, not taken", msgspec.json.encode(conflict["data"]).decode())


def _line(*parts: str | None) -> None:
    out.print(": ".join(filter(None, parts)), markup=False, highlight=False, soft_wrap=True)


def _told(meter: dict[str, Any]) -> str:
    if meter["entity"]:
        return f"{meter['entity']} is {meter['text']}"
    return str(meter["text"] if meter["value"] is None else meter["value"])

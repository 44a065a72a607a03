"""Stored events by what their senders call them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from ..domain.errors import Invalid, NotFound
from ..domain.listing import StoredEvent
from ..ports.whole_store import WholeStore

_MOST_LISTED = 5


@dataclass(frozen=True, slots=True)
class EventName:
    """A source and an id; the organization may be left out while only one has an event of that name."""

    source: str
    id: str
    organization: str | None = None


def find_named(store: WholeStore, namespace: str, names: Iterable[EventName]) -> dict[EventName, StoredEvent]:
    """The stored event of each name. Raises `NotFound` for a name that none has, and `Invalid` for one that several
    organizations have."""
    names = [*names]
    found: dict[tuple[str, str], list[StoredEvent]] = defaultdict(list)
    if unknown := [(name.source, name.id) for name in names if name.organization is None]:
        for stored in store.find_named(namespace, unknown):
            found[stored.event.name].append(stored)
    told = [(namespace, name.organization, name.source, name.id) for name in names if name.organization is not None]
    by_identity = {stored.event.identity: stored for stored in store.find(told)} if told else {}
    events: dict[EventName, StoredEvent] = {}
    for name in names:
        if name.organization is None:
            candidates = found[name.source, name.id]
        else:
            identity = namespace, name.organization, name.source, name.id
            candidates = [by_identity[identity]] if identity in by_identity else []
        if not candidates:
            of = f" of organization {name.organization[:60]!r}" if name.organization is not None else ""
            raise NotFound(
                f"no event {name.id[:60]!r} of source {name.source[:60]!r}{of} is stored in namespace {namespace!r}:"
                " it was never received, or refused with a reason in the answer to its request"
            )
        if len(candidates) > 1:
            having = sorted(stored.event.organization for stored in candidates)
            more = f" and {len(having) - _MOST_LISTED} more" if len(having) > _MOST_LISTED else ""
            raise Invalid(
                f"organization: {len(having)} organizations have an event {name.id[:60]!r} of source"
                f" {name.source[:60]!r}; name one of {', '.join(map(repr, having[:_MOST_LISTED]))}{more}"
            )
        events[name] = candidates[0]
    return events

"""Which events a request may bring, beside being sound: the rules that hold for every event of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from datetime import datetime, timedelta

import structlog

from ...domain import correction
from ...domain.catalog import Catalog
from ...domain.event import SYSTEM_PREFIX, Event, Rejected
from ...domain.event_columns import UnreadEvents
from ...domain.event_parser import EventParser
from ...domain.period import format_instant
from ..catalogs import Catalogs
from .submission import Submission

MAX_AHEAD = timedelta(days=366)
"""How far an event's time may be ahead of the server's clock: one that is years ahead would decide states for years."""
_KNOWN_UNMATCHED = 1_000
"""Most types without a meter that are remembered, so that each is told once."""

_log = structlog.get_logger(__name__)


class Acceptance:
    """Takes the events of a request one by one, and tells at a glance whether it takes all of them."""

    def __init__(self, catalogs: Catalogs, deleted: Callable[[], Set[tuple[str, str]]]):
        """`deleted` answers the namespace and id of every deleted organization: they take no events any more."""
        self._catalogs = catalogs
        self._parsers: dict[tuple[str, bool, bool], tuple[Catalog, EventParser]] = {}
        """By namespace, whether Meterhouse's own types pass, and whether what meters cannot read does; with the catalog
        that each reads by."""
        self._deleted = deleted
        self._told_unmatched: set[tuple[str, str]] = set()

    def read_one_by_one(
        self,
        submission: Submission,
        namespace: str,
        raws: Sequence[bytes],
        organization: str | None,
        *,
        keeps_unreadable: bool = False,
    ) -> None:
        """Reads every event, takes the good ones into the submission and rejects the others.

        `organization` restricts the request to that organization's events; without it, events of Meterhouse's own
        types are taken too, as they are when an export is read again. `keeps_unreadable`: see `Body`. Raises `NotFound`
        for an unknown namespace.
        """
        catalog = self._catalogs.get(namespace)
        own = organization is None and not keeps_unreadable
        parse = self._parser(catalog, own=own, keeps_unreadable=keeps_unreadable).parse
        received_at = submission.received_at
        latest, deleted = received_at + MAX_AHEAD, self._deleted()
        events: list[Event] = []
        indexes: list[int] = []
        unmatched: list[int] = []
        for index, raw in enumerate(raws):
            try:
                event = parse(raw, received_at)
                if organization is not None and event.organization != organization:
                    raise Rejected("forbidden", "this key may only send events of its own organization", event.id)
                if event.time > latest:
                    raise _ahead(event, received_at)
                if deleted and (namespace, event.organization) in deleted and not event.type.startswith(SYSTEM_PREFIX):
                    raise _of_deleted(event)
                if event.type not in catalog.expected_types:
                    if event.type.startswith(SYSTEM_PREFIX):
                        correction.check(event)
                    else:
                        unmatched.append(len(events))
                        self.tell_unmatched(namespace, event.type)
            except Rejected as rejected:
                submission.reject(index, rejected)
            else:
                events.append(event)
                indexes.append(index)
        submission.events, submission.indexes, submission.unmatched = events, indexes, unmatched

    def _parser(self, catalog: Catalog, *, own: bool, keeps_unreadable: bool) -> EventParser:
        known = self._parsers.get((catalog.namespace, own, keeps_unreadable))
        if known is None or known[0] is not catalog:
            meters = {} if keeps_unreadable else catalog.meters_by_event_type
            known = catalog, EventParser(catalog.namespace, meters, own=own)
            self._parsers[catalog.namespace, own, keeps_unreadable] = known
        return known[1]

    def takes_all(self, events: UnreadEvents, organization: str | None) -> bool:
        """Whether none of the events is refused for its type or its organization, and none is Meterhouse's own. Their
        times are not looked at."""
        organizations = {each.subject for each in events.envelopes}
        if organization is not None and organizations != {organization}:
            return False
        deleted = self._deleted()
        return not deleted or not any((events.catalog.namespace, each) in deleted for each in organizations)

    def unmatched_in(self, events: UnreadEvents) -> list[int]:
        """Which of the events have a type that no meter reads; each such type is told once in the log."""
        expected = events.catalog.expected_types
        odd = {each.type for each in events.envelopes} - expected
        for event_type in sorted(odd):
            self.tell_unmatched(events.catalog.namespace, event_type)
        return [row for row, each in enumerate(events.envelopes) if each.type in odd] if odd else []

    def tell_unmatched(self, namespace: str, event_type: str) -> None:
        """Logs that no meter reads the type, once."""
        told = self._told_unmatched
        if (namespace, event_type) not in told and len(told) < _KNOWN_UNMATCHED:
            told.add((namespace, event_type))
            _log.warning("no meter reads events of this type", namespace=namespace, type=event_type)


def _ahead(event: Event, now: datetime) -> Rejected:
    return Rejected(
        "invalid_time",
        f"time: {format_instant(event.time)} is more than {MAX_AHEAD.days} days ahead of this server's clock,"
        f" {format_instant(now)}",
        event.id,
    )


def _of_deleted(event: Event) -> Rejected:
    return Rejected(
        "organization_deleted",
        f"the organization {event.organization[:128]!r} is deleted: restore it, or stop sending its events",
        event.id,
    )

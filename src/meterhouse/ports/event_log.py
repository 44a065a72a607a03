"""The stored events themselves: for listings, explanations, corrections and exports."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.event import Event, Identity
from ..domain.event_search import EventSearch
from ..domain.export import ExportForm, Selection
from ..domain.listing import EventPosition, EventQuery, StoredEvent
from .chunks import Chunks


class EventLog(Protocol):
    """Finds and lists stored events."""

    def find(self, identities: Sequence[Identity]) -> list[StoredEvent]:
        """The stored events of these identities, voided ones too, in no particular order. Their `numbers` are empty."""
        ...

    def find_named(self, namespace: str, names: Sequence[tuple[str, str]]) -> list[StoredEvent]:
        """The stored events of a namespace with one of these sources and ids, of all organizations; as in `find`."""
        ...

    def voided(self, stored: Sequence[StoredEvent]) -> set[EventPosition]:
        """The positions of the voided ones. All must be of one namespace."""
        ...

    def corrections_of(self, event: Event) -> list[StoredEvent]:
        """The corrections and conflicts of a stored event, in the order in which they were stored."""
        ...

    def list_events(self, query: EventQuery) -> list[StoredEvent]:
        """The first `limit` events of the query, newest first: by time, among equals the last stored first. With
        `after`, the events next to that position on its newer side, also newest first."""
        ...

    def search(self, search: EventSearch) -> list[StoredEvent]:
        """The events that a search finds, in its order. Their `numbers` are empty."""
        ...

    def found(self, search: EventSearch) -> int:
        """How many events a search finds, whatever its limit."""
        ...

    def count(self) -> int:
        """How many events are stored, Meterhouse's own included."""
        ...

    def export(self, selection: Selection, form: ExportForm) -> Chunks:
        """Streams the selected events as of this call, in the order in which they were stored. Memory does not grow
        with their number. May raise after it has begun: the pieces so far are worthless then."""
        ...

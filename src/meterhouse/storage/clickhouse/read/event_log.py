"""Stored events themselves: lists, corrections and exports."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from ....domain.event import Event
from ....domain.event_search import EventSearch
from ....domain.export import ExportForm, Selection
from ....domain.listing import EventPosition, EventQuery, StoredEvent
from ....ports.chunks import Chunks
from ....ports.commit_log import Changed
from ..corrections import correction_queries
from ..corrections.dirty_slots import DirtySlots
from ..engine.engine import Engine, Parameters
from ..engine.event_rows import events_of
from ..engine.instants import micros
from . import event_queries
from .event_queries import ExportQuery, ListEventsQuery
from .search_queries import SearchEventsQuery

_EXPORTED_AS = {ExportForm.NDJSON: "TSVRaw", ExportForm.PARQUET: "Parquet"}


class EventReader:
    """Reads stored events from the engine."""

    def __init__(self, engine: Engine, dirty_slots: DirtySlots):
        self._engine = engine
        self._dirty_slots = dirty_slots

    def list_events(self, query: EventQuery) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        corrected = bool(self._dirty_slots.of(query.namespace, query.organization))
        statement = ListEventsQuery(query, corrected=corrected)
        found = self._events(statement.sql, statement.parameters)
        return found if query.after is None else found[::-1]

    def search(self, search: EventSearch) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        statement = SearchEventsQuery(search)
        return self._events(statement.sql, statement.parameters)

    def found(self, search: EventSearch) -> int:
        """See `ports.EventLog`."""
        statement = SearchEventsQuery(search, counted=True)
        [[count]] = self._engine.rows(statement.sql, statement.parameters)
        return int(count)

    def voided(self, stored: Sequence[StoredEvent]) -> set[EventPosition]:
        """See `ports.EventLog`."""
        if not stored:
            return set()
        positions = {(each.at.commit, each.at.position): each.at for each in stored}
        named = ", ".join(f"({commit}, {position})" for commit, position in positions)
        scope: Parameters = {"namespace": stored[0].event.namespace, "places": f"[{named}]"}
        return {positions[commit, position] for commit, position in self._engine.rows(correction_queries.VOIDED, scope)}

    def corrections_of(self, event: Event) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        scope = {"namespace": event.namespace, "organization": event.organization}
        return self._events(correction_queries.CORRECTIONS_OF, {**scope, "source": event.source, "id": event.id})

    def commit_at(self, instant: datetime) -> int:
        """See `ports.EventLog`."""
        [[commit]] = self._engine.rows(event_queries.COMMIT_AT, {"instant": micros(instant)})
        return int(commit)

    def changed_since(self, commit: int) -> Changed:
        """See `ports.CommitLog`."""
        rows = self._engine.rows(event_queries.CHANGED_SINCE, {"commit": commit})
        return Changed(
            frozenset((namespace, organization) for namespace, organization, _ in rows), any(row[2] for row in rows)
        )

    def correction_steps(self, after: int, upto: int) -> list[StoredEvent]:
        """See `ports.CommitLog`."""
        return self._events(event_queries.CORRECTION_STEPS, {"after": after, "upto": upto})

    def count(self) -> int:
        """See `ports.EventLog`."""
        [[count]] = self._engine.rows(event_queries.COUNT_EVENTS, {})
        return int(count)

    def export(self, selection: Selection, form: ExportForm, as_of_commit: int) -> Chunks:
        """The selected events of the commits up to one, in the order in which they were stored."""
        statement = ExportQuery(selection, form, as_of_commit)
        return self._engine.stream(statement.sql, statement.parameters, _EXPORTED_AS[form])

    def _events(self, sql: str, parameters: Parameters) -> list[StoredEvent]:
        return list(events_of(self._engine.rows(sql, parameters)))

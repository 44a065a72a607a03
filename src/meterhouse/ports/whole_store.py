"""What is asked of all events, in whichever shard they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from ..domain.event import Event, Identity
from ..domain.event_search import EventSearch
from ..domain.export import ExportForm, Selection
from ..domain.listing import EventPosition, StoredEvent
from ..domain.loss import Loss
from .chunks import Chunks


class WholeStore(Protocol):
    """All shards as one; where there is one shard, its store itself. Numbers of commits are sums over the shards."""

    def count(self) -> int:
        """See `ports.EventLog`."""
        ...

    def export(self, selection: Selection, form: ExportForm) -> Chunks:
        """See `ports.EventLog`: one shard after the other."""
        ...

    def find(self, identities: Sequence[Identity]) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        ...

    def find_named(self, namespace: str, names: Sequence[tuple[str, str]]) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        ...

    def search(self, search: EventSearch) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        ...

    def found(self, search: EventSearch) -> int:
        """See `ports.EventLog`."""
        ...

    def voided(self, stored: Sequence[StoredEvent]) -> set[EventPosition]:
        """See `ports.EventLog`: of events of one organization."""
        ...

    def corrections_of(self, event: Event) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        ...

    def check_room(self) -> None:
        """See `ports.EventWriter`."""
        ...

    def latest_commit(self) -> int:
        """See `ports.CommitLog`."""
        ...

    def watermark(self) -> int:
        """See `ports.Rollups`."""
        ...

    def lag_events(self) -> int:
        """See `ports.Rollups`."""
        ...

    def rebuild(self) -> None:
        """See `ports.Rollups`."""
        ...

    def losses(self) -> list[Loss]:
        """See `ports.EventStore`."""
        ...

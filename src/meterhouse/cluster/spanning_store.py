"""The stores of all shards as one, for what is about more than one organization."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import msgspec

from ..domain.event import Event, Identity
from ..domain.event_search import EventSearch, rank_of
from ..domain.export import ExportForm, Selection
from ..domain.listing import EventPosition, StoredEvent
from ..domain.loss import Loss
from ..domain.shards import Seat
from ..ports.chunks import Chunks
from ..ports.event_store import EventStore
from .joined_exports import joined
from .peers import Peers


class SpanningStore:
    """See `ports.WholeStore`. Raises `Unavailable` while a shard does not answer."""

    def __init__(self, store: EventStore, seat: Seat, peers: Peers):
        """`store` has the shard of this process."""
        self._store = store
        self._seat = seat
        self._peers = peers

    def count(self) -> int:
        """See `ports.WholeStore`."""
        return sum(self._all("count"))

    def check_room(self) -> None:
        """See `ports.WholeStore`."""
        self._all("check_room")

    def latest_commit(self) -> int:
        """See `ports.WholeStore`."""
        return sum(self._all("latest_commit"))

    def watermark(self) -> int:
        """See `ports.WholeStore`."""
        return sum(self._all("watermark"))

    def lag_events(self) -> int:
        """See `ports.WholeStore`."""
        return sum(self._all("lag_events"))

    def rebuild(self) -> None:
        """See `ports.WholeStore`."""
        self._all("rebuild")

    def losses(self) -> list[Loss]:
        """See `ports.WholeStore`."""
        return sorted((loss for losses in self._all("losses") for loss in losses), key=lambda loss: loss.at)

    def find(self, identities: Sequence[Identity]) -> list[StoredEvent]:
        """See `ports.WholeStore`."""
        divided: defaultdict[int, list[Identity]] = defaultdict(list)
        for identity in identities:
            divided[self._seat.shard_of(identity[0], identity[1])].append(identity)
        return [stored for shard, some in divided.items() for stored in self._one(shard, "find", some)]

    def find_named(self, namespace: str, names: Sequence[tuple[str, str]]) -> list[StoredEvent]:
        """See `ports.WholeStore`."""
        return [stored for found in self._all("find_named", namespace, list(names)) for stored in found]

    def search(self, search: EventSearch) -> list[StoredEvent]:
        """See `ports.WholeStore`."""
        found = [stored for some in self._all("search", search) for stored in some]
        return sorted(found, key=rank_of, reverse=not search.oldest_first)[: search.limit]

    def found(self, search: EventSearch) -> int:
        """See `ports.WholeStore`."""
        return sum(self._all("found", search))

    def voided(self, stored: Sequence[StoredEvent]) -> set[EventPosition]:
        """See `ports.WholeStore`."""
        if not stored:
            return set()
        event = stored[0].event
        shard = self._seat.shard_of(event.namespace, event.organization)
        found: set[EventPosition] = self._one(shard, "voided", list(stored))
        return found

    def corrections_of(self, event: Event) -> list[StoredEvent]:
        """See `ports.WholeStore`."""
        # Numbers are not needed to find them, and may be larger than the wire takes.
        named = msgspec.structs.replace(event, numbers={})
        shard = self._seat.shard_of(event.namespace, event.organization)
        found: list[StoredEvent] = self._one(shard, "corrections_of", named)
        return found

    def export(self, selection: Selection, form: ExportForm) -> Chunks:
        """See `ports.WholeStore`."""
        others = {shard: self._exported(shard, selection, form) for shard in self._peers.others}
        exports = {**others, self._seat.number: self._store.export(selection, form)}
        return joined([exports[shard] for shard in sorted(exports)], form)

    def _exported(self, shard: int, selection: Selection, form: ExportForm) -> Chunks:
        parameters = {"form": form.value, "namespace": selection.namespace, "organization": selection.organization}
        return self._peers.stream(shard, "export", {key: text for key, text in parameters.items() if text is not None})

    def _one(self, shard: int, name: str, *arguments: Any) -> Any:
        if shard == self._seat.number:
            return getattr(self._store, name)(*arguments)
        return self._peers.call(shard, name, *arguments)

    def _all(self, name: str, *arguments: Any) -> list[Any]:
        """What each shard answers, by its number."""
        answers = self._peers.call_all(name, *arguments)
        answers[self._seat.number] = getattr(self._store, name)(*arguments)
        return [answers[shard] for shard in sorted(answers)]

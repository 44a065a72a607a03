"""Snapshots of one shard."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ..domain.position import Position, format_position
from ..ports.event_store import EventStore
from ..ports.snapshots import Snapshot


@dataclass(frozen=True, slots=True)
class LocalSnapshots:
    """Takes snapshots of the one store that is here: see `ports.Snapshots`."""

    store: EventStore
    shard: int = 0
    """The number of the store, for positions."""

    def snapshot(self, _namespace: str, _organizations: tuple[str, ...], as_of: datetime | None, /) -> Snapshot:
        """See `ports.Snapshots`."""
        commit = self.store.latest_commit() if as_of is None else self.store.commit_at(as_of)
        return Snapshot(self.store, commit, format_position({self.shard: commit}), self.store.losses())

    def reached(self, position: Position, /) -> bool:
        """See `ports.Snapshots`. Commits of other shards do not matter: no answer from here depends on them."""
        return self.store.latest_commit() >= position.get(self.shard, 0)

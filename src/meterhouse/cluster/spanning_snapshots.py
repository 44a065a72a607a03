"""Snapshots of several shards."""

from __future__ import annotations

from collections.abc import Mapping, Set
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

from ..domain.meter import Measure, MeterQuery, Ranking
from ..domain.partial_aggregate import Partial, PartialKey
from ..domain.position import Position, format_position
from ..domain.shards import Seat
from ..ports.snapshots import Snapshot
from ..services.snapshots import LocalSnapshots
from .peers import Peers
from .spanning_reader import SpanningReader

_QUESTIONS_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class RemoteReader:
    """Asks the process of another shard: see `ports.AggregateReader`."""

    peers: Peers
    shard: int

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.AggregateReader`."""
        measures: list[Measure] = self.peers.call(self.shard, "measure", query)
        return measures

    def partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        """See `ports.AggregateReader`."""
        partials: Mapping[PartialKey, Partial] = self.peers.call(self.shard, "partials", query)
        return partials

    def distinct(self, query: MeterQuery) -> Mapping[PartialKey, Set[str]]:
        """See `ports.AggregateReader`."""
        values: Mapping[PartialKey, Set[str]] = self.peers.call(self.shard, "distinct", query)
        return values

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """See `ports.AggregateReader`."""
        ranking: Ranking = self.peers.call(self.shard, "rank", query, count)
        return ranking


class SpanningSnapshots:
    """See `ports.Snapshots`: an organization's from its own shard, several organizations' from all of theirs."""

    def __init__(self, here: LocalSnapshots, seat: Seat, peers: Peers):
        """`here` takes those of this process's shard."""
        self._here = here
        self._seat = seat
        self._peers = peers
        self._threads = ThreadPoolExecutor(_QUESTIONS_AT_ONCE, "meterhouse-spanning")

    def snapshot(self, namespace: str, organizations: tuple[str, ...], as_of: datetime | None, /) -> Snapshot:
        """See `ports.Snapshots`."""
        shards = sorted({self._seat.shard_of(namespace, each) for each in organizations}) or [*range(self._seat.count)]
        taken = [*self._threads.map(lambda shard: self._of(shard, as_of), shards)]
        if len(taken) == 1:
            return taken[0]
        reader = SpanningReader([(each.reader, each.commit) for each in taken], self._threads)
        losses = sorted((loss for each in taken for loss in each.losses), key=lambda loss: loss.at)
        position = {shard: each.commit for shard, each in zip(shards, taken, strict=True)}
        return Snapshot(reader, 0, format_position(position), losses)

    def reached(self, position: Position, /) -> bool:
        """See `ports.Snapshots`. Shards that there are not cannot be waited for."""
        return all(
            shard < self._seat.count and self._latest_commit(shard) >= commit for shard, commit in position.items()
        )

    def _of(self, shard: int, as_of: datetime | None) -> Snapshot:
        if shard == self._seat.number:
            return self._here.snapshot("", (), as_of)
        commit = self._latest_commit(shard) if as_of is None else self._peers.call(shard, "commit_at", as_of)
        losses = self._peers.call(shard, "losses")
        return Snapshot(RemoteReader(self._peers, shard), commit, format_position({shard: commit}), losses)

    def _latest_commit(self, shard: int) -> int:
        if shard == self._seat.number:
            return self._here.store.latest_commit()
        commit: int = self._peers.call(shard, "latest_commit")
        return commit

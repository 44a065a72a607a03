"""Snapshots: states of the events that questions are answered from, in one shard or in several."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from ..domain.loss import Loss
from ..domain.position import Position
from .aggregate_reader import AggregateReader


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One state of the events: everything that one answer says is read from it."""

    reader: AggregateReader
    commit: int
    """What queries give as `as_of_commit`; a reader of several shards puts each one's own in its place."""
    position: str
    """The token of this state."""
    losses: Sequence[Loss]
    """Those of every shard that was asked for, oldest first."""


class Snapshots(Protocol):
    """Takes snapshots, and tells how far they reach."""

    def snapshot(self, namespace: str, organizations: tuple[str, ...], as_of: datetime | None, /) -> Snapshot:
        """The newest state of some organizations of a namespace, of all of it where none are named; or what was stored
        by an instant. It has every commit that was answered before the call, and does not change afterwards."""
        ...

    def reached(self, position: Position, /) -> bool:
        """Whether a snapshot that is taken now includes this position, as far as its shards are asked."""
        ...

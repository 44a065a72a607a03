"""All that an event store is."""

from __future__ import annotations

from typing import Protocol

from ..domain.loss import Loss
from .commit_log import CommitLog
from .copying import Copying
from .event_log import EventLog
from .event_mutations import EventMutations
from .event_writer import EventWriter
from .meter_reader import MeterReader
from .rollups import Rollups


class EventStore(EventWriter, CommitLog, MeterReader, EventLog, EventMutations, Rollups, Protocol):
    """The events, and everything that is answered from them."""

    def losses(self) -> list[Loss]:
        """The losses that the operator accepted in repairs, oldest first. Answers from memory."""
        ...

    def copying(self) -> Copying:
        """Copies events out, while others write."""
        ...

    def close(self) -> None:
        """Releases the folder. The store cannot be used afterwards."""
        ...

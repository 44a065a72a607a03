"""Storing events: for the ingest alone."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from ..domain.event import Event, Outcome
from ..domain.event_columns import EventColumns


class EventWriter(Protocol):
    """Stores every event once."""

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        """Stores the events whose identity is not known yet; answers one outcome per event, in order. When it returns,
        the ingested events are on disk (fsync'd), all of them or, after a crash, none, and every later `measure` sees
        them. Identities are compared with every stored event and with the earlier events of the call. Repeating a call
        that raised is safe: nothing counts twice. One caller at a time writes; readers are not blocked. An event of
        type VOID or RESTORE names another event of its organization, which is stored or comes before it in the call,
        and decides from its commit on whether that one counts: the last one stands. A delivery that contradicts a
        stored event is kept, once, as a CONFLICT."""
        ...

    def known(self, events: Sequence[Event]) -> list[Event | None]:
        """For each event the stored one of the same identity; None where there is none. For whoever appends: what is
        not known stays so until the next `append`."""
        ...

    def encode(self, events: EventColumns, latest: datetime) -> Sequence[Event] | None:
        """Packs the events so that `append` costs the least. May be called from any thread. None when a time is later
        than `latest`, or may be no instant: then the events have to be read one by one."""
        ...

    def latest_commit(self) -> int:
        """See `ports.CommitLog`: when `append` has returned, its events, the known ones too, are in this commit or in
        one before it."""
        ...

    def check_room(self) -> None:
        """Raises `InsufficientStorage` while nothing can be stored because the disk is full."""
        ...

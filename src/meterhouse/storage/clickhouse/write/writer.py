"""The one writer: appends events, each identity once, in commits that are durable before they are answered."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from itertools import accumulate

import numpy as np
import numpy.typing as npt

from ....domain import correction
from ....domain.event import Event, Outcome
from ....domain.event_sequence import ChainedEvents
from ....domain.listing import EventPosition
from ..corrections.dirty_slots import DirtySlots
from ..dedup.identity_hash import Hashes, identity_hashes
from ..dedup.known_events import KnownEvents
from ..engine import native
from ..engine.engine import NO_PARAMETERS, Engine
from ..engine.event_rows import columns_of
from ..engine.instants import instant
from ..journal.journal import Journal
from ..journal.segment import Record
from ..memtable.last_commits import LastCommits
from ..memtable.memtable import Memtable, positions_of
from ..memtable.unseen_changes import UnseenChanges
from . import commit_queries
from .correction_targets import place_corrections
from .encoded_events import (
    Commit,
    EncodedEvents,
    PackedEvents,
    RetainedEvents,
    encode_commit,
    encoded_parts,
    positions_in,
)
from .stored_at import stored_at_after

_FIRST_DRAFT = 1 << 31
"""The position of the first draft in the latest commit: after every event that the commit holds."""


class Writer:
    """Appends events. One call at a time has the lock; readers never wait for it."""

    def __init__(
        self,
        engine: Engine,
        journal: Journal,
        known: KnownEvents,
        *,
        dirty_slots: DirtySlots,
        memtable: Memtable,
        last_commits: LastCommits,
        changes: UnseenChanges,
        latest_commit: int,
        new_identities: int,
    ):
        """Commit numbers go on after `latest_commit`."""
        self._engine = engine
        self._journal = journal
        self._known = known
        self._dirty_slots = dirty_slots
        self._memtable = memtable
        self._last_commits = last_commits
        self._changes = changes
        self.lock = threading.Lock()
        """Held for every commit, and by whoever needs that none happens."""
        self._previewing = threading.Lock()
        self._commit = latest_commit
        self._latest_commit = latest_commit
        [[stored_at]] = engine.rows(commit_queries.STORED_AT, {"commit": latest_commit})
        if not stored_at:  # the commit had events of other shards alone, before these were divided
            [[stored_at]] = engine.rows(commit_queries.NEWEST_STORED_AT, NO_PARAMETERS)
        self._stored_at = instant(stored_at)
        self.certain = True
        """Whether it is known of every commit if it was stored. After a failure only the next start can tell."""
        self.stored_events = 0
        """How many events were stored since the start."""
        self.new_identities = new_identities
        """How many identities the filter has that no snapshot of it has."""

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        """See `ports.EventWriter`."""
        if (parts := encoded_parts(events)) is not None:
            with self.lock:
                if (outcomes := self._append_encoded(parts, received_at)) is not None:
                    return outcomes
        return self._append_one_by_one([*events], received_at)

    def known(self, events: Sequence[Event]) -> list[Event | None]:
        """See `ports.EventWriter`."""
        identities = [event.identity for event in events]
        with self.lock:
            found = self._known.among(identities, identity_hashes(identities))
        return [found.get(identity) for identity in identities]

    def _append_encoded(self, parts: Sequence[EncodedEvents], received_at: datetime) -> list[Outcome] | None:
        """Stores the new ones of the events. None when one contradicts another: then nothing is stored."""
        packed = [part.packed for part in parts]
        if (known := self._known_in(packed)) is None:
            return None
        if known:
            packed = [part.without(rows) if rows else part for part, rows in zip(packed, known, strict=True)]
        if stored := [part for part in packed if len(part)]:
            hashes = np.concatenate([part.hashes for part in stored])
            self._stored_at = stored_at_after(self._stored_at, received_at)
            block = encode_commit(stored, self._commit + 1, self._stored_at)
            data_bytes = sum(part.data_bytes for part in stored)
            retained = ChainedEvents([RetainedEvents(part.columns) for part in stored])
            self._store(Commit(retained, hashes, block, positions_in(stored), data_bytes))
        outcomes: list[Outcome] = []
        for part, new in zip(parts, packed, strict=True):
            told = [Outcome.INGESTED] * len(part)
            if len(new) < len(part):
                for row in {*range(len(part))}.difference(new.rows):
                    told[row] = Outcome.DUPLICATE
            outcomes += told
        return outcomes

    def _known_in(self, parts: Sequence[PackedEvents]) -> list[set[int]] | None:
        """Of each part the rows of events that repeat stored ones, or ones before them; an empty list when there are
        none. None when an event contradicts another."""
        hashes = np.concatenate([part.hashes for part in parts])
        doubtful = self._known.filter.may_contain(hashes)
        if len(parts) > 1:
            doubtful |= _repeated(hashes)
        rows = np.flatnonzero(doubtful)
        if not rows.size:
            return []
        events = ChainedEvents(parts)
        identities = [events[row].identity for row in rows.tolist()]
        first = self._known.among(identities, hashes[rows])
        known: set[int] = set()
        for row, identity in zip(rows.tolist(), identities, strict=True):
            event = events[row]
            if (stored := first.setdefault(identity, event)) is event:
                continue
            if not stored.same_content(event):
                return None
            known.add(row)
        begins = accumulate(map(len, parts[:-1]), initial=0)
        return [
            {row - begin for row in known if begin <= row < begin + len(part)}
            for part, begin in zip(parts, begins, strict=True)
        ]

    def _append_one_by_one(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        identities = [event.identity for event in events]
        hashes = identity_hashes(identities)
        with self.lock:
            known = self._known.among(identities, hashes)
            outcomes: list[Outcome] = []
            fresh: list[int] = []
            conflicts: list[Event] = []
            for number, (identity, event) in enumerate(zip(identities, events, strict=True)):
                if (first := known.get(identity)) is None:
                    known[identity] = event
                    fresh.append(number)
                    outcomes.append(Outcome.INGESTED)
                elif first.same_content(event):
                    outcomes.append(Outcome.DUPLICATE)
                else:
                    outcomes.append(Outcome.CONFLICT)
                    conflicts.append(correction.conflict(first, event, received_at))
            stored = [events[number] for number in fresh]
            if any(event.type in correction.EFFECTIVE_TYPES for event in stored):
                begin = EventPosition(received_at, self._commit + 1, 0)
                stored, fresh = place_corrections(events, fresh, outcomes, begin, self._known.find)
            hashes = hashes[fresh]
            if conflicts:
                kept, more = self._unknown(conflicts)
                stored, hashes = stored + kept, np.concatenate([hashes, more])
            if stored:
                self._store_events(stored, hashes, received_at)
        return outcomes

    def _unknown(self, events: Sequence[Event]) -> tuple[list[Event], Hashes]:
        """The events that are not stored yet, each once, and their hashes."""
        once = {event.identity: event for event in events}
        hashes = identity_hashes(once)
        known = self._known.among([*once], hashes)
        new = [identity not in known for identity in once]
        return [event for event in once.values() if event.identity not in known], hashes[new]

    def _store_events(self, events: Sequence[Event], hashes: Hashes, received_at: datetime) -> None:
        self._stored_at = stored_at_after(self._stored_at, received_at)
        begin = EventPosition(self._stored_at, self._commit + 1, 0)
        block = native.encode_block(len(events), columns_of(events, hashes, begin))
        self._dirty_slots.add(
            (event.namespace, event.organization, instant(int(event.numbers["time"])))
            for event in events
            if event.type in correction.EFFECTIVE_TYPES
        )
        if any(event.type in correction.STEPS for event in events):
            self._changes.record_correction(begin.commit)
        data_bytes = sum(len(event.data) for event in events)
        self._store(Commit(events, hashes, block, positions_of(events), data_bytes))

    def _store(self, added: Commit) -> None:
        # A write that fails may still have reached the disk: the filter learns of it first, so that the next attempt
        # looks; its commit number is not given again, and what is there is read.
        self._known.filter.add(added.hashes)
        self._commit += 1
        self.new_identities += len(added.events)
        stored = False
        try:
            self._journal.append(Record(self._commit, len(added.events), added.block))
            stored = True
        finally:
            self.certain = self.certain and stored
            self._last_commits.record(added.positions, self._commit)
            self._changes.record(added.positions, self._commit)
            if stored:
                self._memtable.add(self._commit, added.events, added.positions, added.data_bytes)
            else:
                self._memtable.reset(self._commit)
            self._latest_commit = self._commit
        self.stored_events += len(added.events)
        in_engine = self._journal.stored_commit
        self._known.recent.add(self._commit, added.hashes.tolist(), added.events, added.data_bytes, in_engine)

    def latest_commit(self) -> int:
        """See `ports.EventWriter`."""
        return self._latest_commit

    def forget_events(self) -> None:
        """Forgets the events in memory: some stored events have changed, or are gone."""
        with self.lock:
            self._known.forget()
            self._memtable.reset(self._commit)

    @contextmanager
    def drafts(self, events: Sequence[Event]) -> Iterator[int]:
        """Puts events into the table of drafts, as if they had been the last of the latest commit, which it answers.
        One at a time; others wait."""
        with self._previewing:
            begin = EventPosition(self._stored_at, self._latest_commit, _FIRST_DRAFT)
            outcomes = [Outcome.INGESTED] * len(events)
            drafts, _ = place_corrections(events, range(len(events)), outcomes, begin, self._known.find)
            hashes = identity_hashes(event.identity for event in drafts)
            self._engine.execute(commit_queries.REPLACE_DRAFTS)
            self._engine.insert("drafts", native.encode_block(len(drafts), columns_of(drafts, hashes, begin)))
            try:
                yield begin.commit
            finally:
                self._engine.execute(commit_queries.DROP_DRAFTS)


def _repeated(hashes: Hashes) -> npt.NDArray[np.bool_]:
    """For each hash whether there is another one like it."""
    order = np.argsort(hashes)
    equal = np.flatnonzero(np.diff(hashes[order]) == 0)
    repeated = np.zeros(hashes.size, dtype=np.bool_)
    repeated[order[equal]] = repeated[order[equal + 1]] = True
    return repeated

"""The `EventStore` port on a ClickHouse: one table is the only truth, the filter beside it is only a shortcut."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import msgspec
import numpy as np
import structlog

from ...domain import correction
from ...domain.event import OWN, Event, Identity, Outcome
from ...domain.export import ExportForm, Selection
from ...domain.listing import EventQuery, Place, Saying, StoredEvent
from ...domain.loss import Loss
from ...domain.meter import Measure, Meter, MeterQuery, Top
from ...domain.retention import Reduction
from ...ports import Chunks, Measuring
from ..manifest import Removal
from . import mutation_queries, native, queries
from .engine import DamagedStorage, Engine, EngineError, Parameters
from .flushing_engine import FlushingEngine
from .held_events import HeldEvents, positions_of
from .identity_filter import Hashes, IdentityFilter, Mark, Saved, Snapshot
from .inspection import damaged_parts, hold_to_manifest
from .journal import Journal, JournalFiles
from .last_commits import LastCommits
from .masks import Masks
from .mutations import Mutations, give_up, parameters_of
from .reduction_queries import Reduce, ReducibleQuery
from .rollups import Rollups
from .segment import Record
from .stored_events import Frozen, columns_of, events_of, identity_hashes, stored_at_after
from .tables import prepare_tables

_EXPORTED_AS = {ExportForm.NDJSON: "TSVRaw", ExportForm.PARQUET: "Parquet"}

_log = structlog.get_logger(__name__)

_LOOKUP_SIZE = 5_000
_RECENT_EVENTS = 20_000
"""Events stored last that are held in memory: most retries repeat what was just sent. Those with"""
_RECENT_DATA_BYTES = 1_024
"""more data than this are looked up like any other."""
_SAVE_AFTER = 1_000_000
"""New identities that a snapshot waits for at least, and"""
_SAVE_SHARE = 16
"""this part of all: what is left for the next start stays small, and the file is not written over and over."""


_REWRITTEN_AT_ONCE = 100_000
_FIRST_DRAFT = 1 << 31
"""Where drafts stand in the latest commit: behind whatever it holds."""


class ClickHouseEventStore:
    """See `ports.EventStore`."""

    def __init__(
        self,
        engine: Engine,
        meters: Mapping[str, Iterable[Meter]] | None = None,
        snapshot: Path | None = None,
        journal: JournalFiles | None = None,
    ):
        """`meters`, by namespace, are rolled up; whatever else is asked for is answered from the events. `snapshot`
        names a file that makes the next start faster, `journal` what makes commits faster and tells a start what must
        be there. Raises `Incomplete` when it is not."""
        self._direct = engine
        self._manifest = manifest = journal.manifest if journal else None
        self._writing = threading.Lock()
        self._saving = threading.Lock()
        self._supposing = threading.Lock()
        self._erasing = threading.Lock()
        give_up(engine)
        if manifest:
            hold_to_manifest(engine, manifest, meters or {})
        prepare_tables(engine)
        self._journal = Journal(engine, journal) if journal else None
        self._engine = engine = FlushingEngine(engine, self._journal) if self._journal else engine
        self._mutations = Mutations(engine, manifest)
        self._snapshot = Snapshot(snapshot) if snapshot else None
        saved = self._saved()
        told_to = saved.mark.commit if saved else 0
        # Numbers go on after those that are known to have been given, though their events may be lost.
        given = (manifest.state.commit or 0) if manifest else 0
        self._commit: int = max(engine.rows(queries.LATEST_COMMIT, {"commit": told_to})[0][0], given)
        self._latest_commit: int = self._commit
        [[stored_at]] = engine.rows(queries.STORED_AT, {"commit": self._commit})
        self._stored_at = queries.instant(stored_at)
        self._recent: OrderedDict[Identity, Event] = OrderedDict()
        self._journaled: deque[tuple[int, dict[Identity, Event]]] = deque()
        self._certain = True
        self._unsaved = 0
        self._filter = self._restored(saved) if saved else self._filled()
        self._masks = Masks(engine, saved.masks if saved else (), told_to)
        self._held = HeldEvents(self._commit)
        self._last_commits = LastCommits(self._commit)
        self._rollups = Rollups(
            engine,
            meters or {},
            self._commit,
            self._masks,
            self._held,
            last_commits=self._last_commits,
            direct=self._direct,
            manifest=manifest,
        )
        if self._mutations.rewriting:
            self._rollups.rebuild()
            self._mutations.finish()

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        """See `ports.EventStore`."""
        identities = [(event.namespace, event.source, event.id) for event in events]
        hashes = identity_hashes(identities)
        with self._writing:
            known = self._find_known(identities, hashes)
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
            if any(event.type in correction.CHANGING for event in stored):
                stored, fresh = self._placed(events, fresh, outcomes, Place(received_at, self._commit + 1, 0))
            hashes = hashes[fresh]
            if conflicts:
                kept, more = self._unknown(conflicts)
                stored, hashes = stored + kept, np.concatenate([hashes, more])
            if stored:
                self._insert(stored, hashes, received_at)
        return outcomes

    def _placed(
        self, events: Sequence[Event], fresh: Sequence[int], outcomes: list[Outcome], begin: Place
    ) -> tuple[list[Event], list[int]]:
        """What is stored of the fresh events, the first at `begin`, and their numbers: those that change what counts
        learn where the event stands that they name, which is stored already or before them; those that name no such
        event are refused."""
        named = {}
        for number in fresh:
            if (event := events[number]).type in correction.CHANGING:
                step = correction.step_of(event)
                named[number] = event.namespace, step.source, step.id
        places = {found.event.identity: found for found in self.find([*named.values()])}
        stored: list[Event] = []
        numbers: list[int] = []
        refused: set[Identity] = set()
        for number in fresh:
            event = events[number]
            if number in named:
                target = places.get(named[number])
                if target is None or target.event.type.startswith(OWN):
                    refused.add(event.identity)
                    continue
                place = target.place
                where = {"commit": place.commit, "position": place.position, "time": queries.micros(place.time)}
                event = msgspec.structs.replace(event, organization=target.event.organization, numbers=where)
            place = Place(event.time, begin.commit, begin.position + len(stored))
            places[event.identity] = StoredEvent(event, place, begin.time)
            stored.append(event)
            numbers.append(number)
        for number, event in enumerate(events):
            if event.identity in refused:
                outcomes[number] = Outcome.UNKNOWN_TARGET
        return stored, numbers

    def _unknown(self, events: Sequence[Event]) -> tuple[list[Event], Hashes]:
        """Those that are not stored yet, each once."""
        once = {event.identity: event for event in events}
        hashes = identity_hashes([*once])
        known = self._find_known([*once], hashes)
        new = [identity not in known for identity in once]
        return [event for event in once.values() if event.identity not in known], hashes[new]

    def find(self, identities: Sequence[Identity]) -> list[StoredEvent]:
        """See `ports.EventStore`."""
        wanted = set(identities)
        stored = self._look_up(identity_hashes([*wanted]).tolist(), self._engine)
        return [found for found in stored if found.event.identity in wanted]

    def _find_known(self, identities: Sequence[Identity], hashes: Hashes) -> dict[Identity, Event]:
        """The stored events that have one of these identities; others may be among them."""
        known, looked_up = {}, set()
        in_memory = [self._recent, *self._in_journal()]
        for place in np.flatnonzero(self._filter.may_contain(hashes)).tolist():
            identity = identities[place]
            if (event := next((events[identity] for events in in_memory if identity in events), None)) is not None:
                known[identity] = event
            else:
                looked_up.add(int(hashes[place]))
        return known | {found.event.identity: found.event for found in self._look_up([*looked_up], self._direct)}

    def _in_journal(self) -> Iterator[Mapping[Identity, Event]]:
        """The events that the engine may not have yet."""
        while self._journal and self._journaled and self._journaled[0][0] <= self._journal.stored_commit:
            self._journaled.popleft()
        return (events for _, events in self._journaled)

    def _look_up(self, hashes: Sequence[int], engine: Engine) -> Iterator[StoredEvent]:
        for begin in range(0, len(hashes), _LOOKUP_SIZE):
            batch = {"identities": hashes[begin : begin + _LOOKUP_SIZE]}
            try:
                rows = engine.rows(queries.EVENTS_BY_IDENTITY, batch)
            except DamagedStorage as failure:
                _log.error("the index of identities is damaged: restart, and it is made anew", exc_info=failure)
                rows = engine.rows(queries.EVENTS_BY_IDENTITY_WITHOUT_INDEX, batch)
            yield from events_of(rows)

    def _stored(self, sql: str, parameters: Parameters) -> Iterator[StoredEvent]:
        return events_of(self._engine.rows(sql, parameters))

    def _insert(self, events: Sequence[Event], hashes: Hashes, received_at: datetime) -> None:
        self._stored_at = stored_at_after(self._stored_at, received_at)
        block = native.block(len(events), columns_of(events, hashes, Place(self._stored_at, self._commit + 1, 0)))
        self._masks.add(
            (event.namespace, event.organization, queries.instant(int(event.numbers["time"])))
            for event in events
            if event.type in correction.CHANGING
        )
        # An insert that fails may still have reached the disk: the filter learns of it first, so that the next
        # attempt looks; its commit number is not given again, and what is there is read.
        self._filter.add(hashes)
        self._commit += 1
        self._unsaved += len(events)
        positions, stored = positions_of(events), False
        try:
            if self._journal:
                self._journal.append(Record(self._commit, len(events), block))
                self._journaled.append((self._commit, {event.identity: event for event in events}))
            else:
                self._engine.insert("events", block)
            stored = True
        finally:
            self._certain = self._certain and stored
            self._last_commits.record(positions, self._commit)
            if stored:
                self._held.add(self._commit, events, positions)
            else:
                self._held.forget(self._commit)
            self._latest_commit = self._commit
        self._remember(events)

    def _forget_events(self) -> None:
        """Forgets what is held of events: some of them are otherwise now, or gone."""
        with self._writing:
            self._recent.clear()
            self._held.forget(self._commit)

    def _remember(self, stored: Sequence[Event]) -> None:
        for event in stored[-_RECENT_EVENTS:]:
            if len(event.data) <= _RECENT_DATA_BYTES:
                self._recent[event.identity] = event
        for _ in range(len(self._recent) - _RECENT_EVENTS):
            self._recent.popitem(last=False)  # of a plain dict, each would walk over all that were deleted before

    def _filled(self) -> IdentityFilter:
        self._unsaved = self.count()
        return IdentityFilter.of_stored(self._stored_between, self._unsaved)

    def _saved(self) -> Saved | None:
        """What the snapshot says; None when it is not of these events."""
        saved = self._snapshot.load() if self._snapshot else None
        return saved if saved and saved.mark.events and self._mark(saved.mark.commit) == saved.mark else None

    def _restored(self, saved: Saved) -> IdentityFilter:
        """The filter from the snapshot and from what was stored since."""
        restored = IdentityFilter(self._stored_between)
        restored.restore(saved.shards)
        since = self._uint64s(queries.IDENTITIES_AFTER, commit=saved.mark.commit)
        restored.add(since)
        self._unsaved = since.size
        return restored

    def _stored_between(self, first: int, last: int) -> Hashes:
        return self._uint64s(queries.IDENTITIES_BETWEEN, first=first, last=last)

    def _uint64s(self, sql: str, **parameters: int) -> Hashes:
        return np.frombuffer(self._engine.uint64s(sql, parameters), dtype="<u8")

    def _mark(self, commit: int) -> Mark:
        [[events, identities, stored_at]] = self._engine.rows(queries.COMMIT_MARK, {"commit": commit})
        return Mark(commit, events, identities, stored_at)

    def checkpoint(self) -> None:
        """See `ports.EventStore`."""
        if self._unsaved >= max(_SAVE_AFTER, self._filter.size // _SAVE_SHARE):
            self._save()

    def _save(self) -> None:
        with self._saving:
            with self._writing:
                # After an insert that failed nobody knows what the next start will find. It has to look.
                if self._snapshot is None or not self._certain or not self._unsaved:
                    return
                saved = Saved(self._filter.shards(), self._mark(self._commit), self._masks.all())
                unsaved = self._unsaved
            self._snapshot.save(saved)
            with self._writing:
                self._unsaved -= unsaved

    def latest_commit(self) -> int:
        """See `ports.EventStore`."""
        return self._latest_commit

    def touched(self, namespace: str, organization: str) -> int:
        """See `ports.EventStore`."""
        return self._last_commits.of(namespace, organization)

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.EventStore`."""
        return self._rollups.measure(query)

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        """See `ports.EventStore`."""
        return self._rollups.top(query, count)

    def rewrite(self, saying: Saying, rewritten: Callable[[Event], Event]) -> int:
        """See `ports.EventStore`."""
        latest, count = self._latest_commit, 0
        with self._erasing:
            try:
                while True:
                    statement = queries.SayingQuery(saying, latest, _REWRITTEN_AT_ONCE)
                    found = list(self._stored(statement.sql, statement.parameters))
                    if not found:
                        break
                    self._mutations.rewrite(found, rewritten)
                    count += len(found)
            finally:  # after a failure too, which leaves some rewritten
                if self._mutations.rewriting:
                    self._forget_events()
                    self._rollups.rebuild()
                    self._mutations.finish()
        return count

    def remove(self, namespace: str, organization: str) -> int:
        """See `ports.EventStore`."""
        count = 0
        with self._erasing:
            if (begun := self._mutations.removal) is not None:
                self._remove(begun)
                count += begun.events if (begun.namespace, begun.organization) == (namespace, organization) else 0
            whole = Removal(namespace, organization, self._latest_commit, 0)
            [[left]] = self._engine.rows(mutation_queries.REMOVABLE, parameters_of(whole))
            if left:
                self._remove(msgspec.structs.replace(whole, events=left))
        return count + int(left)

    def _remove(self, removal: Removal) -> None:
        self._mutations.remove(removal)
        self._forget_events()
        self._rollups.rebuild()

    def reducible(self, reduction: Reduction) -> int:
        """See `ports.EventStore`."""
        statement = ReducibleQuery(reduction)
        [[count]] = self._engine.rows(statement.sql, statement.parameters)
        return int(count)

    def reduce(self, reduction: Reduction) -> None:
        """See `ports.EventStore`."""
        statement = Reduce(reduction)
        with self._erasing:
            self._mutations.change(statement.sql, statement.parameters)
            self._forget_events()

    @contextmanager
    def supposing(self, events: Sequence[Event]) -> Iterator[tuple[int, Measuring]]:
        """See `ports.EventStore`."""
        with self._supposing:
            begin = Place(self._stored_at, self._latest_commit, _FIRST_DRAFT)
            drafts, _ = self._placed(events, range(len(events)), [Outcome.INGESTED] * len(events), begin)
            hashes = identity_hashes([event.identity for event in drafts])
            self._engine.execute(queries.REPLACE_DRAFTS)
            self._engine.insert("drafts", native.block(len(drafts), columns_of(drafts, hashes, begin)))
            try:
                yield begin.commit, self._rollups.measure_drafts
            finally:
                self._engine.execute(queries.DROP_DRAFTS)

    def newest(self, query: EventQuery) -> list[StoredEvent]:
        """See `ports.EventStore`."""
        corrected = bool(self._masks.of(query.namespace, query.organization))
        statement = queries.NewestQuery(query, corrected=corrected)
        found = list(self._stored(statement.sql, statement.parameters))
        return found if query.after is None else found[::-1]

    def voided(self, stored: Sequence[StoredEvent]) -> set[Place]:
        """See `ports.EventStore`."""
        if not stored:
            return set()
        places = {(each.place.commit, each.place.position): each.place for each in stored}
        named = ", ".join(f"({commit}, {position})" for commit, position in places)
        rows = self._engine.rows(queries.VOIDED, {"namespace": stored[0].event.namespace, "places": f"[{named}]"})
        return {places[commit, position] for commit, position in rows}

    def about(self, event: Event) -> list[StoredEvent]:
        """See `ports.EventStore`."""
        named = {"namespace": event.namespace, "organization": event.organization}
        return list(self._stored(queries.EVENTS_ABOUT, {**named, "source": event.source, "id": event.id}))

    def commit_at(self, instant: datetime) -> int:
        """See `ports.EventStore`."""
        [[commit]] = self._engine.rows(queries.COMMIT_AT, {"instant": queries.micros(instant)})
        return int(commit)

    def first_event_at(self, namespace: str, organization: str) -> datetime | None:
        """See `ports.EventStore`."""
        return self._rollups.first_event_at(namespace, organization)

    def fold(self, settled_commit: int) -> bool:
        """See `ports.EventStore`."""
        return self._rollups.fold(settled_commit)

    def interrupt(self) -> None:
        """See `ports.EventStore`."""
        self._rollups.leave_fold()
        self._mutations.interrupt()

    def folded_commit(self) -> int:
        """See `ports.EventStore`."""
        return self._rollups.folded_commit()

    def unfolded_events(self) -> int:
        """See `ports.EventStore`."""
        return self._rollups.unfolded_events()

    def rebuild(self) -> None:
        """See `ports.EventStore`."""
        with self._saving:
            if self._snapshot:
                self._snapshot.drop()
            for renew in self._filter.renewals():
                with self._writing:  # not for all of them together: others wait to write
                    renew()
            with self._writing:
                self._unsaved = self._filter.size
        self._rollups.rebuild()

    def count(self) -> int:
        """See `ports.EventStore`."""
        [[count]] = self._engine.rows(queries.COUNT_EVENTS, {})
        return int(count)

    def export(self, selection: Selection, form: ExportForm) -> Chunks:
        """See `ports.EventStore`."""
        statement = queries.ExportQuery(selection, form, self._latest_commit)
        return self._engine.stream(statement.sql, statement.parameters, _EXPORTED_AS[form])

    @contextmanager
    def frozen(self) -> Iterator[Frozen]:
        """The events of this moment, none of them half erased, as files that stay as they are. Who writes waits only
        until they are linked."""
        name = f"backup{uuid4().hex}"
        try:
            with self._erasing, self._writing:
                parts = self._engine.freeze("events", name)
                frozen = Frozen(parts, self._commit, self.count(), self.losses())
                if self._manifest is not None:
                    self._manifest.hold_to(frozen.events)
            yield frozen
        finally:
            self._engine.thaw(name)

    def check(self) -> None:
        """Reads every stored byte of events. Raises `DamagedStorage` for events that are not as they were written."""
        if damaged := [str(part) for part in damaged_parts(self._engine) if not part.only_its_index]:
            raise DamagedStorage("; ".join(damaged))

    def check_room(self) -> None:
        """See `ports.EventStore`."""
        if self._journal:
            self._journal.check_room()

    def losses(self) -> list[Loss]:
        """See `ports.EventStore`."""
        return self._manifest.state.losses if self._manifest is not None else []

    def close(self) -> None:
        """See `ports.EventStore`."""
        with suppress(OSError, EngineError):  # the next start takes longer
            self._save()
        with self._writing:
            self._engine.close()

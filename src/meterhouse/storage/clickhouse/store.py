"""The event store on a ClickHouse: how its rooms are put together, and which of them answers what.

The table of events is the only truth; the journal holds what the table does not have yet. Filter, memtable, rollups and
caches affect what an answer costs, never what it says.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import datetime
from pathlib import Path

from ...domain.event import Event, Identity, Outcome
from ...domain.event_columns import EventColumns
from ...domain.event_search import EventSearch
from ...domain.export import ExportForm, Selection
from ...domain.listing import EventPosition, EventQuery, PropertyMatch, StoredEvent
from ...domain.loss import Loss
from ...domain.meter import Measure, Meter, MeterQuery, Ranking, Top
from ...domain.partial_aggregate import Partial, PartialKey
from ...domain.retention import Redaction
from ...ports.chunks import Chunks
from ...ports.commit_log import Changed
from ...ports.copying import Copying
from ...ports.meter_reader import MeasureFunction
from ..manifest import Manifest
from .corrections.dirty_slots import DirtySlots
from .dedup.identity_index import index_identities
from .dedup.known_events import KnownEvents
from .engine.engine import EmbeddedEngine, Engine, EngineError
from .engine.tables import prepare_tables
from .journal.flushing_engine import FlushingEngine
from .journal.journal import Journal, Log
from .maintenance.checkpoints import Checkpoints
from .maintenance.copying import StoredCommits
from .maintenance.erasing import Erasing, Frozen
from .maintenance.inspection import hold_to_manifest
from .maintenance.mutations import Mutations, give_up
from .memtable.last_commits import LastCommits
from .memtable.memtable import Memtable
from .memtable.unseen_changes import UnseenChanges
from .read.event_log import EventReader
from .read.first_events import FirstEvents
from .read.meter_reader import MeterReader
from .read.sources import Sources
from .rollups.rollups import Rollups
from .write.commit_queries import LATEST_COMMIT
from .write.encoded_events import EncodedEvents, encode
from .write.writer import Writer


class ClickHouseEventStore:
    """See `ports.EventStore`. Each method belongs to the room that it calls."""

    def __init__(
        self, engine: Engine, meters: Mapping[str, Iterable[Meter]], snapshot: Path, manifest: Manifest, log: Log
    ):
        """Opens the store. Raises `Incomplete` when the table lacks what the manifest tells.

        `meters`, by namespace, get rollups; other questions are answered from the events. `snapshot` names a file that
        makes the next start faster. `log` has the commits that the table does not have.
        """
        give_up(engine)
        hold_to_manifest(engine, manifest, meters)
        prepare_tables(engine)
        index_identities(engine)
        journal = Journal(log)
        flushing = FlushingEngine(engine, journal)
        checkpoints = Checkpoints(flushing, snapshot)
        saved = checkpoints.load()
        saved_commit = saved.fingerprint.commit if saved else 0
        # Commit numbers go on after those that are known to have been given, though their events may be lost.
        [[stored_commit]] = flushing.rows(LATEST_COMMIT, {"commit": saved_commit})
        commit = max(stored_commit, manifest.state.commit or 0)
        identity_filter, new_identities = checkpoints.restore_filter(saved)
        dirty_slots = DirtySlots(flushing, saved.dirty_slots if saved else (), saved_commit)
        memtable, last_commits = Memtable(commit), LastCommits(commit)
        known, changes = KnownEvents(flushing, engine, identity_filter), UnseenChanges()
        rollups = Rollups(flushing, engine, meters, commit, manifest)
        writer = Writer(
            *(flushing, journal, known),
            dirty_slots=dirty_slots,
            memtable=memtable,
            last_commits=last_commits,
            changes=changes,
            latest_commit=commit,
            new_identities=new_identities,
        )
        mutations = Mutations(flushing, manifest)
        sources = Sources(
            flushing, engine, rollups=rollups, dirty_slots=dirty_slots, memtable=memtable, last_commits=last_commits
        )
        self._direct = engine
        self._engine = flushing
        self._journal = journal
        self._manifest = manifest
        self._checkpoints = checkpoints
        self._filter = identity_filter
        self._known = known
        self._dirty_slots = dirty_slots
        self._last_commits = last_commits
        self._changes = changes
        self._rollups = rollups
        self._writer = writer
        self._mutations = mutations
        self._erasing = Erasing(flushing, manifest, mutations, writer, rollups)
        self._events = EventReader(flushing, dirty_slots)
        self._meters = MeterReader(sources)
        self._first_events = FirstEvents(flushing, rollups, dirty_slots, memtable, last_commits)
        engine.release_memory()  # which opening took

    def encode(self, events: EventColumns, latest: datetime) -> EncodedEvents | None:
        """See `ports.EventWriter`."""
        return encode(events, latest)

    def append(self, events: Sequence[Event], received_at: datetime) -> list[Outcome]:
        """See `ports.EventWriter`."""
        return self._writer.append(events, received_at)

    def known(self, events: Sequence[Event]) -> list[Event | None]:
        """See `ports.EventWriter`."""
        return self._writer.known(events)

    def check_room(self) -> None:
        """See `ports.EventWriter`."""
        self._journal.check_room()

    def latest_commit(self) -> int:
        """See `ports.CommitLog`."""
        return self._writer.latest_commit()

    def stored_events(self) -> int:
        """See `ports.CommitLog`."""
        return self._writer.stored_events

    def last_commit_of(self, namespace: str, organization: str) -> int:
        """See `ports.CommitLog`."""
        return self._last_commits.of(namespace, organization)

    def commit_at(self, instant: datetime) -> int:
        """See `ports.CommitLog`."""
        return self._events.commit_at(instant)

    def follow_changes(self) -> None:
        """See `ports.CommitLog`."""
        self._changes.follow()

    def take_changes(self, upto: int) -> Changed:
        """See `ports.CommitLog`."""
        return self._changes.take(upto)

    def changed_since(self, commit: int) -> Changed:
        """See `ports.CommitLog`."""
        return self._events.changed_since(commit)

    def correction_steps(self, after: int, upto: int) -> list[StoredEvent]:
        """See `ports.CommitLog`."""
        return self._events.correction_steps(after, upto)

    def measure(self, query: MeterQuery) -> list[Measure]:
        """See `ports.MeterReader`."""
        return self._meters.measure(query)

    def partials(self, query: MeterQuery) -> Mapping[PartialKey, Partial]:
        """See `ports.MeterReader`."""
        return self._meters.partials(query)

    def distinct(self, query: MeterQuery) -> Mapping[PartialKey, Set[str]]:
        """See `ports.MeterReader`."""
        return self._meters.distinct(query)

    def rank(self, query: MeterQuery, count: int) -> Ranking:
        """See `ports.MeterReader`."""
        return self._meters.rank(query, count)

    def top(self, query: MeterQuery, count: int) -> list[Top]:
        """See `ports.MeterReader`."""
        return self._meters.top(query, count)

    def first_event_at(self, namespace: str, organization: str) -> datetime | None:
        """See `ports.MeterReader`."""
        return self._first_events.at(namespace, organization)

    def find(self, identities: Sequence[Identity]) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        return self._known.find(identities)

    def find_named(self, namespace: str, names: Sequence[tuple[str, str]]) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        return self._known.find_named(namespace, names)

    def voided(self, stored: Sequence[StoredEvent]) -> set[EventPosition]:
        """See `ports.EventLog`."""
        return self._events.voided(stored)

    def corrections_of(self, event: Event) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        return self._events.corrections_of(event)

    def list_events(self, query: EventQuery) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        return self._events.list_events(query)

    def search(self, search: EventSearch) -> list[StoredEvent]:
        """See `ports.EventLog`."""
        return self._events.search(search)

    def found(self, search: EventSearch) -> int:
        """See `ports.EventLog`."""
        return self._events.found(search)

    def count(self) -> int:
        """See `ports.EventLog`."""
        return self._events.count()

    def check_rewritable(self) -> None:
        """See `ports.EventMutations`."""
        self._erasing.check_rewritable()

    def rewrite(self, match: PropertyMatch, rewritten: Callable[[Event], Event]) -> int:
        """See `ports.EventMutations`."""
        return self._erasing.rewrite(match, rewritten)

    def remove(self, namespace: str, organization: str) -> int:
        """See `ports.EventMutations`."""
        return self._erasing.remove(namespace, organization)

    def redactable(self, redaction: Redaction) -> int:
        """See `ports.EventMutations`."""
        return self._erasing.redactable(redaction)

    def redact(self, redaction: Redaction) -> None:
        """See `ports.EventMutations`."""
        self._erasing.redact(redaction)

    def define(self, meters: Mapping[str, Iterable[Meter]]) -> None:
        """See `ports.Rollups`."""
        self._rollups.define(meters)

    def materialize(self, settled_commit: int) -> bool:
        """See `ports.Rollups`."""
        return self._rollups.materialize(settled_commit)

    def watermark(self) -> int:
        """See `ports.Rollups`."""
        return self._rollups.watermark()

    def lag_events(self) -> int:
        """See `ports.Rollups`."""
        return self._rollups.lag_events()

    def frozen(self) -> AbstractContextManager[Frozen]:
        """See `Erasing.frozen`. Raises `EngineError` where the events are on a server, which has their files."""
        if not isinstance(self._direct, EmbeddedEngine):
            raise EngineError("the events are on a ClickHouse server: back them up there")
        return self._erasing.frozen(self._direct)

    def check(self) -> None:
        """See `Erasing.check`."""
        self._erasing.check()

    @contextmanager
    def preview(self, events: Sequence[Event]) -> Iterator[tuple[int, MeasureFunction]]:
        """See `ports.MeterReader`."""
        with self._writer.drafts(events) as commit:
            yield commit, self._meters.measure_drafts

    def export(self, selection: Selection, form: ExportForm) -> Chunks:
        """See `ports.EventLog`."""
        return self._events.export(selection, form, self._writer.latest_commit())

    def checkpoint(self) -> None:
        """See `ports.Rollups`."""
        self._checkpoints.save_when_due(self._writer, self._filter, self._dirty_slots)

    def rebuild(self) -> None:
        """See `ports.Rollups`."""
        self._checkpoints.renew_filter(self._writer, self._filter)
        self._rollups.rebuild()

    def interrupt(self) -> None:
        """See `ports.Rollups`."""
        self._rollups.cancel()
        self._mutations.interrupt()

    def losses(self) -> list[Loss]:
        """See `ports.EventStore`."""
        return self._manifest.state.losses

    def copying(self) -> Copying:
        """Copies events out, while others write."""
        return StoredCommits(self._engine)

    def close(self) -> None:
        """See `ports.EventStore`."""
        with suppress(OSError, EngineError):  # the next start takes longer
            self._checkpoints.save(self._writer, self._filter, self._dirty_slots)
        with self._writer.lock:
            self._engine.close()

"""Erasure, purges and retention: the only changes of stored events."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import msgspec

from ....domain.errors import Invalid
from ....domain.event import Event
from ....domain.listing import PropertyMatch
from ....domain.loss import Loss
from ....domain.retention import Redaction
from ...manifest import Manifest, Removal
from ..engine.engine import DamagedStorage, EmbeddedEngine, Engine
from ..engine.event_rows import events_of
from ..read.event_queries import COUNT_EVENTS, PropertyMatchQuery
from ..rollups.rollups import Rollups
from ..write.writer import Writer
from . import mutation_queries
from .inspection import count_events, damaged_parts
from .mutations import Mutations, parameters_of
from .redaction_queries import Redact, RedactableQuery

_REWRITTEN_AT_ONCE = 100_000


@dataclass(frozen=True, slots=True)
class Frozen:
    """The events up to a commit, as files."""

    parts: Path
    """A folder with a folder for each part of the table; may be written into."""
    commit: int
    events: int
    losses: list[Loss]


class Erasing:
    """Changes stored events in place, one change at a time, and freezes them for a backup while none is under way."""

    def __init__(self, engine: Engine, manifest: Manifest, mutations: Mutations, writer: Writer, rollups: Rollups):
        """Finishes what a rewrite that was interrupted has left in the rollups."""
        self._engine = engine
        self._manifest = manifest
        self._mutations = mutations
        self._writer = writer
        self._rollups = rollups
        self._one_at_a_time = threading.Lock()
        if mutations.rewriting:
            rollups.rebuild()
            mutations.finish()

    def check_rewritable(self) -> None:
        """See `ports.EventMutations`."""
        if self._engine.table_form.cluster is not None:  # what events become is in the memory of one server
            raise Invalid(
                "the tables of events have replicas (METERHOUSE_CLICKHOUSE_CLUSTER), where nothing can be erased yet; "
                "nothing was changed"
            )

    def rewrite(self, match: PropertyMatch, rewritten: Callable[[Event], Event]) -> int:
        """See `ports.EventMutations`."""
        self.check_rewritable()
        latest, count = self._writer.latest_commit(), 0
        with self._one_at_a_time:
            try:
                while True:
                    statement = PropertyMatchQuery(match, latest, _REWRITTEN_AT_ONCE)
                    found = list(events_of(self._engine.rows(statement.sql, statement.parameters)))
                    if not found:
                        break
                    self._mutations.rewrite(found, rewritten)
                    count += len(found)
            finally:  # after a failure too, which leaves some rewritten
                if self._mutations.rewriting:
                    self._writer.forget_events()
                    self._rollups.rebuild()
                    self._mutations.finish()
        return count

    def remove(self, namespace: str, organization: str) -> int:
        """See `ports.EventMutations`."""
        count = 0
        with self._one_at_a_time:
            if (begun := self._mutations.removal) is not None:
                self._remove(begun)
                count += begun.events if (begun.namespace, begun.organization) == (namespace, organization) else 0
            whole = Removal(namespace, organization, self._writer.latest_commit(), 0)
            [[left]] = self._engine.rows(mutation_queries.REMOVABLE, parameters_of(whole))
            if left:
                self._remove(msgspec.structs.replace(whole, events=left))
        return count + int(left)

    def _remove(self, removal: Removal) -> None:
        self._mutations.remove(removal)
        self._writer.forget_events()
        self._rollups.rebuild()

    def redactable(self, redaction: Redaction) -> int:
        """See `ports.EventMutations`."""
        statement = RedactableQuery(redaction)
        [[count]] = self._engine.rows(statement.sql, statement.parameters)
        return int(count)

    def redact(self, redaction: Redaction) -> None:
        """See `ports.EventMutations`."""
        statement = Redact(redaction)
        with self._one_at_a_time:
            self._mutations.change(statement.sql, statement.parameters)
            self._writer.forget_events()

    @contextmanager
    def frozen(self, direct: EmbeddedEngine) -> Iterator[Frozen]:
        """The events of this moment, none of them half erased, as files that stay as they are. A commit waits only
        until they are linked. `direct` is the engine without its journal."""
        name = f"backup{uuid4().hex}"
        try:
            with self._one_at_a_time, self._writer.lock:
                [[count]] = self._engine.rows(COUNT_EVENTS, {})  # and nothing waits in the journal
                parts = direct.freeze("events", name)
                state = self._manifest.state
                self._manifest.hold_to(count_events(self._engine, state))
                frozen = Frozen(parts, self._writer.latest_commit(), int(count), state.losses)
            yield frozen
        finally:
            direct.unfreeze(name)

    def check(self) -> None:
        """Reads every stored byte of events. Raises `DamagedStorage` for events that are not as they were written."""
        if damaged := [str(part) for part in damaged_parts(self._engine) if not part.only_its_index]:
            raise DamagedStorage("; ".join(damaged))

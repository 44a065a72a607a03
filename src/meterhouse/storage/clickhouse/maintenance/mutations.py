"""Mutations: changes of stored events in place. Only erasure, retention and purges make them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from ....domain.errors import Overloaded
from ....domain.event import Event
from ....domain.listing import StoredEvent
from ...manifest import Manifest, Removal, State
from ..engine import native
from ..engine.engine import NO_PARAMETERS, Engine, EngineError, Parameters
from . import mutation_queries

_LONGEST_WAIT_S = 0.25


class Interrupted(EngineError, Overloaded):
    """The store is closing: the mutation was given up, and can be repeated."""


class Mutations:
    """Runs one mutation at a time. All methods raise `EngineError`."""

    def __init__(self, engine: Engine, manifest: Manifest):
        """No mutation may be under way in `engine`."""
        self._engine = engine
        self._manifest = manifest
        self._closing = threading.Event()
        self.rewriting = manifest.state.rewriting
        """Whether a rewrite has begun and is not finished: what is derived from events may have what was to go."""

    def rewrite(self, stored: Sequence[StoredEvent], rewritten: Callable[[Event], Event]) -> None:
        """Replaces the data of some events. Call `finish` afterwards."""
        events = [rewritten(each.event) for each in stored]
        places = [(each.at.commit << 32) + each.at.position for each in stored]
        block = native.encode_block(
            len(events),
            [
                ("place", "UInt64", native.numbers("Q", places)),
                ("data", "String", native.encode_strings([event.data for event in events])),
                ("numbers", "Map(String, Decimal(76, 28))", native.quantities([event.numbers for event in events])),
            ],
        )
        self._record(lambda state: msgspec.structs.replace(state, rewriting=True))
        self.rewriting = True
        self._engine.execute(mutation_queries.REPLACE_REWRITES)
        try:
            self._engine.insert("rewrites", block)
            [[database]] = self._engine.rows(mutation_queries.CURRENT_DATABASE, NO_PARAMETERS)
            self.change(mutation_queries.rewrite(database), NO_PARAMETERS)
        finally:
            self._engine.execute(mutation_queries.DROP_REWRITES)

    def finish(self) -> None:
        """Records that the rewrite is complete. Call it when nothing derived has the old data any more."""
        self._record(lambda state: msgspec.structs.replace(state, rewriting=False))
        self.rewriting = False

    def remove(self, removal: Removal) -> None:
        """Removes the events that the removal names, and records it; both are on disk when the method returns."""
        self._record(lambda state: msgspec.structs.replace(state, removal=removal))
        self.change(mutation_queries.REMOVE, parameters_of(removal))
        self._record(lambda state: msgspec.structs.replace(state, removal=None, events=state.events - removal.events))

    @property
    def removal(self) -> Removal | None:
        """The removal that has begun and is not complete."""
        return self._manifest.state.removal

    def change(self, sql: str, parameters: Parameters) -> None:
        """Runs a statement that changes events in place; the result is on disk when the method returns."""
        try:
            self._engine.execute(sql, parameters)
            waited_s = 0.001
            while unfinished := self._engine.rows(mutation_queries.MUTATIONS_LEFT, NO_PARAMETERS):
                for [reason] in unfinished:
                    if reason:
                        raise EngineError(f"stored events could not be changed: {reason}")
                if self._closing.is_set():
                    raise Interrupted("the server is stopping; repeat the request when it has started again")
                time.sleep(waited_s)
                waited_s = min(2 * waited_s, _LONGEST_WAIT_S)
        except EngineError:
            give_up(self._engine)  # it would be tried again and again, and hold up others
            raise
        self._engine.sync_parts("events")

    def interrupt(self) -> None:
        """Ends the waiting for a mutation: the store is closing."""
        self._closing.set()

    def _record(self, changed: Callable[[State], State]) -> None:
        try:
            self._manifest.change(changed)
        except OSError as failure:
            raise EngineError(f"the manifest cannot be written: {failure}") from failure


def give_up(engine: Engine) -> None:
    """Ends the mutations under way. A start does this first, so that it need not wait for a mutation that a crash
    interrupted: it was not acknowledged, and can be repeated."""
    engine.execute(mutation_queries.KILL_MUTATIONS)
    engine.execute(mutation_queries.DROP_REWRITES)


def parameters_of(removal: Removal) -> Parameters:
    """The parameters of `mutation_queries.REMOVE` and `mutation_queries.REMOVABLE`."""
    return {"namespace": removal.namespace, "organization": removal.organization, "commit": removal.commit}

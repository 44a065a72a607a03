"""Changing stored events in place, for erasure, retention and purges alone: nothing else does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

import msgspec

from ...domain.errors import Overloaded
from ...domain.event import Event
from ...domain.listing import StoredEvent
from ..manifest import Manifest, Removal, State
from . import mutation_queries, native
from .engine import NO_PARAMETERS, Engine, EngineError, Parameters

_LONGEST_WAIT_S = 0.25


class Interrupted(EngineError, Overloaded):
    """The store is being closed; what had begun was given up, and can be repeated."""


class Mutations:
    """One at a time. All methods raise `EngineError`."""

    def __init__(self, engine: Engine, manifest: Manifest | None):
        """`engine` has none under way."""
        self._engine = engine
        self._manifest = manifest
        self._closing = threading.Event()
        self.rewriting = manifest is not None and manifest.state.rewriting
        """Whether a rewrite has begun and is not finished: what is derived from events may have what was to go."""

    def rewrite(self, stored: Sequence[StoredEvent], rewritten: Callable[[Event], Event]) -> None:
        """Puts other data in the place of that of some events. To be followed by `finish`."""
        events = [rewritten(each.event) for each in stored]
        places = [(each.place.commit << 32) + each.place.position for each in stored]
        block = native.block(
            len(events),
            [
                ("place", "UInt64", native.numbers("Q", places)),
                ("data", "String", native.texts([event.data for event in events])),
                ("numbers", "Map(String, Decimal(76, 28))", native.quantities([event.numbers for event in events])),
            ],
        )
        self._record(lambda state: msgspec.structs.replace(state, rewriting=True))
        self.rewriting = True
        self._engine.execute(mutation_queries.REPLACE_REWRITES)
        try:
            self._engine.insert("rewrites", block)
            self.change(mutation_queries.REWRITE, NO_PARAMETERS)
        finally:
            self._engine.execute(mutation_queries.DROP_REWRITES)

    def finish(self) -> None:
        """To be called when nothing that is derived from the events has what was rewritten any more."""
        self._record(lambda state: msgspec.structs.replace(state, rewriting=False))
        self.rewriting = False

    def remove(self, removal: Removal) -> None:
        """Removes what the removal names, and that it did: both are on the disk when it returns."""
        self._record(lambda state: msgspec.structs.replace(state, removal=removal))
        self.change(mutation_queries.REMOVE, parameters_of(removal))
        self._record(lambda state: msgspec.structs.replace(state, removal=None, events=state.events - removal.events))

    @property
    def removal(self) -> Removal | None:
        """The one that has begun and is not finished."""
        return self._manifest.state.removal if self._manifest else None

    def change(self, sql: str, parameters: Parameters) -> None:
        """Runs a statement that changes events in place; what it made of them is on the disk when it returns."""
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
        """Lets nobody wait any longer for a change: the store will be closed."""
        self._closing.set()

    def _record(self, changed: Callable[[State], State]) -> None:
        if self._manifest is not None:
            try:
                self._manifest.change(changed)
            except OSError as failure:
                raise EngineError(f"the manifest cannot be written: {failure}") from failure


def give_up(engine: Engine) -> None:
    """Ends what is under way. A start does so before anything else, so that it need not wait for what a crash has
    interrupted: no receipt was given, and it can be repeated."""
    engine.execute(mutation_queries.KILL_MUTATIONS)
    engine.execute(mutation_queries.DROP_REWRITES)


def parameters_of(removal: Removal) -> Parameters:
    """What `mutation_queries.REMOVE` and `mutation_queries.REMOVABLE` take."""
    return {"namespace": removal.namespace, "organization": removal.organization, "commit": removal.commit}

"""Rewriting events in place, for erasure and retention alone: nothing else changes what is stored."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ...domain.event import Event
from ...domain.listing import StoredEvent
from . import native, queries
from .engine import NO_PARAMETERS, Engine, EngineError, Parameters


class Rewriting:
    """Does it in steps that can each be done again, so that a crash between any two leaves nothing half done."""

    def __init__(self, engine: Engine):
        """Finishes what a crash has interrupted. `interrupted` says whether there was anything: then what is derived
        from the events may have what was to go."""
        self._engine = engine
        self.interrupted = bool(engine.rows(queries.REWRITES_LEFT, NO_PARAMETERS)[0][0])
        if self.interrupted:
            engine.execute(queries.REWRITE)

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
        self._engine.execute(queries.REPLACE_REWRITES)
        self._engine.insert("rewrites", block)
        self.change(queries.REWRITE, NO_PARAMETERS)

    def change(self, sql: str, parameters: Parameters) -> None:
        """Runs a statement that changes events in place."""
        try:
            self._engine.execute(sql, parameters)
        except EngineError:
            self._engine.execute(queries.KILL_REWRITE)  # it would be tried again and again, and hold up others
            raise

    def finish(self) -> None:
        """When nothing derived from the events has what was rewritten any more."""
        self._engine.execute(queries.DROP_REWRITES)
        self.interrupted = False

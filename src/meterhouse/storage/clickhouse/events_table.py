"""The table of events, as this version wants it."""

from __future__ import annotations

from . import queries
from .engine import NO_PARAMETERS, Engine


def prepare_events(engine: Engine) -> None:
    """Makes it when there is none; gives one that an earlier version made what it lacks."""
    engine.execute(queries.CREATE_EVENTS)
    indexes = {name for [name] in engine.rows(queries.INDEXES, NO_PARAMETERS)}
    for name, change in queries.ADDED_INDEXES.items():
        if name not in indexes:
            engine.execute(change)
    for name, change in queries.DROPPED_INDEXES.items():
        if name in indexes:
            engine.execute(change)
    if engine.rows(queries.MERGE_BASE, NO_PARAMETERS) == [[0]]:
        engine.execute(queries.SET_MERGE_BASE)
    if engine.rows(queries.PARTS_WITHOUT_IDENTITIES, NO_PARAMETERS)[0][0]:
        engine.execute(queries.INDEX_IDENTITIES)

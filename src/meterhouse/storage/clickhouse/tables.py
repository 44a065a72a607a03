"""The tables that a folder has, as this version wants them."""

from __future__ import annotations

from . import queries
from .engine import NO_PARAMETERS, Engine


def prepare_tables(engine: Engine) -> None:
    """Makes the table of events when there is none; gives what an earlier version made what it lacks."""
    engine.execute(queries.CREATE_EVENTS)
    indexes = {name for [name] in engine.rows(queries.INDEXES, NO_PARAMETERS)}
    for name, change in queries.ADDED_INDEXES.items():
        if name not in indexes:
            engine.execute(change)
    for name, change in queries.DROPPED_INDEXES.items():
        if name in indexes:
            engine.execute(change)
    for [name] in engine.rows(queries.WITH_OLD_MERGES, NO_PARAMETERS):
        engine.execute(queries.NEW_MERGES[name])
    if engine.rows(queries.PARTS_WITHOUT_IDENTITIES, NO_PARAMETERS)[0][0]:
        engine.execute(queries.INDEX_IDENTITIES)

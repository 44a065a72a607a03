"""The tables that a folder has, as this version wants them."""

from __future__ import annotations

import structlog

from . import queries
from .engine import NO_PARAMETERS, DamagedStorage, Engine

_log = structlog.get_logger(__name__)


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
    set_settings(engine)
    index_identities(engine)


def index_identities(engine: Engine) -> None:
    """Has the index of identities made, in the background, where it is missing or damaged."""
    try:
        engine.rows(queries.EVENTS_BY_IDENTITY, {"identities": [0]})  # reads the index of each part
    except DamagedStorage as failure:
        _log.warning("the index of identities is damaged, and made anew; no event is lost", exc_info=failure)
        engine.execute(queries.CLEAR_IDENTITIES)
        engine.execute(queries.INDEX_IDENTITIES)
    if parts := engine.rows(queries.PARTS_WITHOUT_IDENTITIES, NO_PARAMETERS)[0][0]:
        _log.warning("some parts of the index of identities are made anew; no event is lost", parts=parts)
        engine.execute(queries.INDEX_IDENTITIES)


def set_settings(engine: Engine) -> None:
    """Gives the tables of events and rollups the settings that they lack."""
    for table, definition in engine.rows(queries.TABLES_WITH_SETTINGS, NO_PARAMETERS):
        wanted = [f"{name} = {value}" for name, value in queries.SETTINGS.items()]
        lacking = [each for each in wanted if f"{each}," not in f"{definition},"]
        if lacking:
            engine.execute(queries.MODIFY_SETTINGS.format(table, ", ".join(lacking)))

"""The tables of a folder or of a server, made and set up."""

from __future__ import annotations

from . import schema_queries
from .engine import NO_PARAMETERS, Engine


def prepare_tables(engine: Engine) -> None:
    """Makes the table of events when there is none, and gives it the settings that it lacks."""
    engine.execute(schema_queries.create_events(engine.table_form))
    set_settings(engine)


def set_settings(engine: Engine) -> None:
    """Gives the tables of events and rollups the settings that they lack."""
    for table, definition in engine.rows(schema_queries.TABLES_WITH_SETTINGS, NO_PARAMETERS):
        wanted = [f"{name} = {value}" for name, value in schema_queries.SETTINGS.items()]
        lacking = [each for each in wanted if f"{each}," not in f"{definition},"]
        if lacking:
            table_everywhere = f"{table}{engine.table_form.on_cluster}"
            engine.execute(schema_queries.MODIFY_SETTINGS.format(table_everywhere, ", ".join(lacking)))

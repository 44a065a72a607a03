"""Brings a ledger's tables to this version, and refuses those of a newer one."""

from __future__ import annotations

from sqlalchemy import Connection, Engine, func, inspect, select, text

from ....domain.errors import FolderError

HEAD = "0010"
"""The newest revision in `versions`. Alembic takes as long to import as everything else here, so that a ledger
which is already there is opened without it."""

_POSTGRESQL_LOCK = 0x6D65746572  # "meter"


def migrate(engine: Engine) -> None:
    """Runs the missing migrations in one transaction; safe to repeat, also from several processes at once."""
    with engine.connect() as connection:
        if _revision(connection) == HEAD:
            return
    with engine.execution_options(sqlite_begin="IMMEDIATE").begin() as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_POSTGRESQL_LOCK)))
        _upgrade(connection)


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
    return revision


def _upgrade(connection: Connection) -> None:
    import logging  # noqa: PLC0415 - see HEAD

    from alembic import command  # noqa: PLC0415 - see HEAD
    from alembic.config import Config  # noqa: PLC0415 - see HEAD
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see HEAD

    logging.getLogger("alembic").setLevel(logging.WARNING)  # it tells every step at INFO
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", "meterhouse.storage.ledger:migrations")
    revision = _revision(connection)
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if revision is not None and revision not in known:
        raise FolderError(
            f"the ledger {connection.engine.url} was written by a newer version of meterhouse "
            f"(its schema is {revision}, this version knows {HEAD}): upgrade meterhouse"
        )
    command.upgrade(config, "head")

"""All rows of a ledger, as they are stored, and putting them into another: from SQLite to PostgreSQL, or back."""

from __future__ import annotations

import base64
from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import Connection, Engine, LargeBinary, Table, column, delete, func, insert, select, table
from sqlalchemy.sql.expression import TableClause

from ...ports.chunks import Chunks
from .tables import changes, evaluated, metadata, shards, turns

_LEFT_OUT = {turns, shards, changes, evaluated}
"""What is about a data folder, or about where the ledger is."""
_TABLES = [each for each in metadata.sorted_tables if each not in _LEFT_OUT]
_AT_ONCE = 1000

_Line = tuple[str, dict[str, Any]]
_decoder = msgspec.json.Decoder(_Line)


def rows_of(engine: Engine) -> Chunks:
    """The name of a table and one of its rows on each line, in JSON; those first that others name. As of one moment."""
    with engine.connect().execution_options(yield_per=_AT_ONCE) as connection:
        for each in _TABLES:
            names = [str(each_column.name) for each_column in each.columns]
            for row in connection.execute(select(*_as_stored(each).c)):
                yield msgspec.json.encode((str(each.name), dict(zip(names, row, strict=True)))) + b"\n"


def is_empty(connection: Connection) -> bool:
    """Whether there is nothing but secrets, which every server makes."""
    known = [each for each in _TABLES if each.name != "secrets"]
    return all(connection.execute(select(func.count()).select_from(each)).scalar_one() == 0 for each in known)


def replace(connection: Connection, lines: Iterable[bytes]) -> int:
    """Puts such rows in the place of all that there is; answers how many. SQLite refuses to give up an audit log."""
    is_postgresql = connection.dialect.name == "postgresql"
    if is_postgresql:  # a move may be repeated, with an audit log, whose rows are not deleted one by one
        names = ", ".join(each.name for each in _TABLES)
        connection.exec_driver_sql(f"TRUNCATE {names} RESTART IDENTITY")
    else:
        for each in reversed(_TABLES):
            connection.execute(delete(each))
    tables = {each.name: each for each in _TABLES}
    rows: list[dict[str, Any]] = []
    count, name = 0, ""
    for line in lines:
        its_table, row = _decoder.decode(line)
        if rows and (its_table != name or len(rows) == _AT_ONCE):
            connection.execute(insert(_as_stored(tables[name])), rows)
            rows = []
        name = its_table
        rows.append(_stored(tables[name], row))
        count += 1
    if rows:
        connection.execute(insert(_as_stored(tables[name])), rows)
    if is_postgresql:  # it numbers by itself, from where it was told to
        for each in _TABLES:
            if (number := each.autoincrement_column) is not None:
                sequence = func.pg_get_serial_sequence(each.name, number.name)
                connection.execute(select(func.setval(sequence, func.max(number))))
    return count


def _as_stored(of: Table) -> TableClause:
    """The table without what its columns make of values."""
    return table(of.name, *(column(each.name) for each in of.columns))


def _stored(of: Table, row: dict[str, Any]) -> dict[str, Any]:
    binary = [each.name for each in of.columns if isinstance(each.type, LargeBinary)]
    return row | {name: base64.b64decode(row[name]) for name in binary}

"""What is asked of PostgreSQL. Names are identifiers, values are parameters; a query is the operator's own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from psycopg.sql import SQL, Composable, Composed, Identifier, Literal

SESSION = (
    "SET default_transaction_read_only = on",
    "SET TimeZone = 'UTC'",
    "SET DateStyle = 'ISO, YMD'",
    "SET extra_float_digits = 1",
    "SET bytea_output = 'hex'",
)
"""So that values are texts that lose nothing."""
IN_RECOVERY = "SELECT pg_is_in_recovery()"
WRITERS = (
    "SELECT DISTINCT virtualtransaction FROM pg_locks WHERE locktype = 'relation' AND mode = 'RowExclusiveLock'"
    " AND granted AND pid IS DISTINCT FROM pg_backend_pid()"
    " AND relation IN (SELECT oid FROM pg_class WHERE relkind IN ('r', 'p', 'f', 'S')"
    " AND relnamespace <> 'pg_catalog'::regnamespace)"
    " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
"""The transactions that are writing to any table of the database, or have taken a value of any sequence. An INSERT
locks its table before it takes values, and `nextval` its sequence, to the end of the transaction. (Not indexes and
catalogs, which a long VACUUM locks so.)"""


@dataclass(frozen=True, slots=True)
class Place:
    """A table or a query, and the column by which its rows are ordered."""

    table: str | None
    query: str | None
    cursor: str

    @property
    def name(self) -> str:
        """What the place is called in a state file."""
        of_query = f"the query {hashlib.sha256((self.query or '').encode()).hexdigest()[:16]}"
        return f"{f'the table {self.table}' if self.table else of_query} by {self.cursor}"

    def newest(self) -> Composed:
        """The greatest value of the cursor."""
        return SQL("SELECT {0} FROM {1} WHERE {0} IS NOT NULL ORDER BY {0} DESC LIMIT 1").format(
            Identifier(self.cursor), self._relation()
        )

    def without_place(self) -> Composed:
        """Whether there are rows that no reading would come to."""
        return SQL("SELECT EXISTS (SELECT FROM {1} WHERE {0} IS NULL)").format(
            Identifier(self.cursor), self._relation()
        )

    def rows(self, columns: Sequence[str], count: int, *, from_the_beginning: bool) -> Composed:
        """So many rows up to $1, and after $2 unless it is from the beginning. Those of one value of the cursor come
        together."""
        after = SQL("") if from_the_beginning else SQL("AND {} > $2").format(Identifier(self.cursor))
        return SQL(
            "SELECT {columns} FROM {relation} WHERE {cursor} <= $1 {after} ORDER BY {cursor} "
            "FETCH FIRST {count} ROWS WITH TIES"
        ).format(
            columns=SQL(", ").join(map(Identifier, columns)),
            relation=self._relation(),
            cursor=Identifier(self.cursor),
            after=after,
            count=Literal(count),
        )

    def _relation(self) -> Composable:
        if self.table is not None:
            return Identifier(*self.table.split("."))
        return SQL("({}) AS rows_of_query").format(SQL((self.query or "").strip().removesuffix(";")))

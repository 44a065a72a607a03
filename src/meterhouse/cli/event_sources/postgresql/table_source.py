"""Reads a table as it grows, and skips no row that is committed late.

Values of a cursor are taken before their transactions commit: a smaller one may appear after a greater one. So the
greatest value is looked up first; then whoever was writing at that time is waited for, because a smaller value can come
from them only; and then rows are read up to that value.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import msgspec
import psycopg
from psycopg import RawCursor

from ...ingesting.mapping import RowMapping, Rows
from ...ingesting.records import NoEvent, Record
from ...terminal import Failed
from ..patience import Patience
from ..state_file import StateFile
from .cursor_queries import IN_RECOVERY, SESSION, WRITERS, Place

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.abc import Query

_ROWS = 5_000
_LOOKS_S = 0.1
_SAYS_AFTER_S = 10
_BOOLEAN, _TIMESTAMP_WITH_ZONE = 16, 1184


@dataclass(slots=True)
class TableSource:
    """A table or query that is read from where a state file says."""

    database: str
    place: Place
    mapping: RowMapping
    rows: Rows
    state: StateFile
    lag_s: int
    stopping: threading.Event
    patience: Patience
    store: Callable[[Iterable[Record]], None]
    """Returns when what it is given is stored."""

    def run(self, poll_s: int | None) -> None:
        """Reads all there is; then, every so many seconds, what has come. Raises `Failed`."""
        self.state.read()  # says whether it is one
        done = False
        while not done and not self.stopping.is_set():
            done = self._tried(poll_s)

    def _tried(self, poll_s: int | None) -> bool:
        """Whether that is all; not when the database was away and is to be asked again."""
        try:
            with self._connected() as connection:
                self._read_on(connection, poll_s)
        except psycopg.Error as wrong:
            why = f"PostgreSQL: {str(wrong).strip()}"
            if not isinstance(wrong, psycopg.OperationalError) or not self.patience.once_more(why):
                raise Failed(why) from None
            return False
        return True

    def _connected(self) -> psycopg.Connection[tuple[str, ...]]:
        try:
            return psycopg.connect(
                self.database, autocommit=True, cursor_factory=RawCursor, client_encoding="utf8", connect_timeout=10
            )
        except psycopg.ProgrammingError:
            # Its message has the text, and with it the password.
            raise Failed("the database is not named by a PostgreSQL URL or connection string") from None

    def _read_on(self, connection: psycopg.Connection[tuple[str, ...]], poll_s: int | None) -> None:
        for setting in SESSION:
            connection.execute(setting)
        if self._one(connection, IN_RECOVERY) and not self.lag_s:
            raise Failed(
                "the database is a standby, which does not know who is writing: read the primary, or say with "
                "--lag-seconds after how many seconds nothing comes late"
            )
        if self._one(connection, self.place.without_place()):
            raise Failed(f"there are rows whose {self.place.cursor} is NULL: nothing would ever read them")
        while not self.stopping.is_set():
            newest = self._one(connection, self.place.newest())
            if newest is not None and self._all_has_come(connection):
                self._read_to(connection, newest)
            if poll_s is None or self.stopping.wait(poll_s):
                return

    def _one(self, connection: psycopg.Connection[tuple[str, ...]], query: Query) -> str | None:
        found = _texts(connection.execute(query))
        value = next(found, [None])[0]
        return None if value in (None, "false") else value

    def _all_has_come(self, connection: psycopg.Connection[tuple[str, ...]]) -> bool:
        """Waits for whoever is writing now, and for the lag. Whether that was not interrupted."""
        if self.stopping.wait(self.lag_s):
            return False
        writers = {row[0] for row in _texts(connection.execute(WRITERS))}
        waited_s = 0.0
        while writers:
            if self.stopping.wait(_LOOKS_S):
                return False
            waited_s += _LOOKS_S
            if waited_s > _SAYS_AFTER_S:
                self.patience.tell(f"waiting for {len(writers)} transactions that have been writing for a while")
            writers &= {row[0] for row in _texts(connection.execute(WRITERS))}
        return True

    def _read_to(self, connection: psycopg.Connection[tuple[str, ...]], newest: str) -> None:
        columns = [*self.mapping.columns(), self.place.cursor]
        while not self.stopping.is_set():
            after = self.state.read()
            query = self.place.rows(columns, _ROWS, from_the_beginning=after is None)
            found = [*_texts(connection.execute(query, [newest] if after is None else [newest, after]))]
            if not found:
                return
            self._check(found)
            self.store(self._record(dict(zip(columns, row, strict=True))) for row in found)
            self.state.write(str(found[-1][-1]))

    def _check(self, found: list[list[str | None]]) -> None:
        """That rows are told apart by the cursor, where nothing else does."""
        values = [row[-1] for row in found]
        if self.mapping.id is None and len({*values}) < len(values):
            twice = next(one for one, other in pairwise(values) if one == other)
            raise Failed(
                f"two rows have the {self.place.cursor} {twice!r}: say with --row.id which column identifies a row"
            )

    def _record(self, found: dict[str, str | None]) -> Record:
        row = {column: value or "" for column, value in found.items()}
        row_id = row[self.mapping.id or self.place.cursor]
        place = f"{self.place.cursor} {row[self.place.cursor]}"
        original = msgspec.json.encode(self.rows.draft(row, row_id)) + b"\n"
        try:
            return Record(place, original, self.rows.event(row, row_id, place))
        except NoEvent as why:
            return Record(place, original, None, str(why))


def _texts(cursor: psycopg.Cursor[tuple[str, ...]]) -> Iterator[list[str | None]]:
    """The rows of a result, every value as PostgreSQL writes it; booleans and instants as JSON has them."""
    result, columns = cursor.pgresult, cursor.description
    assert result is not None
    assert columns is not None
    for number in range(result.ntuples):
        row: list[str | None] = []
        for index, column in enumerate(columns):
            value = result.get_value(number, index)
            text = None if value is None else value.decode()
            if text is not None and column.type_code == _BOOLEAN:
                text = "true" if text == "t" else "false"
            elif text is not None and column.type_code == _TIMESTAMP_WITH_ZONE and text.endswith("+00"):
                text = f"{text[:-3]}Z"
            row.append(text)
        yield row

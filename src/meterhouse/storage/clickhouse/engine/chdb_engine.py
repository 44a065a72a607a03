"""ClickHouse inside this process."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import threading
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import chdb
import msgspec

from ....ports.chunks import Chunks
from ...durable import sync_folder, sync_tree
from . import schema_queries
from .engine import NO_PARAMETERS, DamagedStorage, EngineError, Parameter, Parameters, error_of
from .table_form import EMBEDDED, TableForm

_row = msgspec.json.Decoder(list[list[Any]])

# Tables are loaded by one thread. By several, the first two that need the list of user-defined functions can each make
# one, and the second is put in place of the first while that is in use: loading fails then over a mutex that is not
# valid, or waits forever.
_OPENED_WITH = "?tables_loader_foreground_pool_size=1"

_CHUNK_BYTES = 1 << 20
_CODE = re.compile(r"Code: (\d+)")

_INSERT_SETTINGS = schema_queries.listed(schema_queries.INSERT_SETTINGS)
_SET = f"SET {schema_queries.listed(schema_queries.STATEMENT_SETTINGS)}"


class ChdbEngine:
    """One embedded ClickHouse over one folder. A process can have one at a time. Raises `EngineError`."""

    def __init__(self, folder: Path):
        self._folder = folder.absolute()
        self._shadow = self._folder / "shadow"
        shutil.rmtree(self._shadow, ignore_errors=True)  # what was frozen when a process was killed
        # One call at a time on a connection: two at once can wait for each other, one with Python's global lock and
        # one with the connection's, and then everything stands still for good.
        self._idle = deque([self._connect()])

    @property
    def table_form(self) -> TableForm:
        """See `Engine`."""
        return EMBEDDED

    def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
        """See `Engine`."""
        self._query(sql, "TSV", parameters)

    def rows(self, sql: str, parameters: Parameters) -> list[list[Any]]:
        """See `Engine`."""
        answer = self._query(sql, "JSONCompactEachRow", parameters).bytes()
        return _row.decode(b"[" + answer.replace(b"]\n[", b"],[") + b"]")

    def uint64s(self, sql: str, parameters: Parameters) -> bytes:
        """See `Engine`."""
        return bytes(self._query(sql, "RowBinary", parameters).bytes())

    def insert(self, table: str, block: bytes, token: str = "") -> None:  # noqa: ARG002 - its tables remember none
        """See `Engine`."""
        # Through a file without a name: a statement is text, and the engine cuts binary values in it short.
        try:
            with _scratch_file() as file:
                file.write(block)
                file.flush()
                source = f"/dev/fd/{file.fileno()}"
                self._query(
                    f"INSERT INTO {table} FROM INFILE '{source}' SETTINGS {_INSERT_SETTINGS} FORMAT Native", "TSV", {}
                )
        except OSError as failure:
            raise EngineError(str(failure)) from failure

    def stream(self, sql: str, parameters: Parameters, output_format: str) -> Chunks:
        """See `Engine`."""
        reading, writing = os.pipe()
        destination = f"INTO OUTFILE '/dev/fd/{writing}' TRUNCATE"
        failures: list[EngineError] = []

        def run() -> None:
            try:
                self._query(f"{sql} {destination}", output_format, parameters)
            except EngineError as failure:
                failures.append(failure)
            finally:
                os.close(writing)

        thread = threading.Thread(target=run, name="meterhouse-stream", daemon=True)
        thread.start()
        try:
            while chunk := os.read(reading, _CHUNK_BYTES):
                yield chunk
        finally:
            os.close(reading)
            if thread.is_alive():  # the engine does not mind that nobody reads
                self._query(f"KILL QUERY WHERE endsWith(query, {_quoted(destination)}) ASYNC", "TSV", {})
            thread.join()
        if failures:
            raise failures[0]

    def freeze(self, table: str, name: str) -> Path:
        """See `Engine`."""
        self._query(f"ALTER TABLE {table} FREEZE WITH NAME '{name}'", "TSV", {})
        folder = self._shadow / name / self._folder_of(table).relative_to(self._folder)
        folder.mkdir(parents=True, exist_ok=True)  # a table without parts has nothing to freeze
        return folder

    def unfreeze(self, name: str) -> None:
        """See `Engine`."""
        shutil.rmtree(self._shadow / name, ignore_errors=True)

    def sync_names(self, table: str) -> None:
        """See `Engine`."""
        try:
            sync_folder(self._folder_of(table))
        except OSError as failure:
            raise EngineError(f"the table {table} cannot be synced: {failure}") from failure

    def sync_parts(self, table: str) -> None:
        """See `Engine`."""
        names = [name for [name] in self.rows(schema_queries.PARTS_OF_TABLE, {"table": table})]
        folder = self._folder_of(table)
        try:
            for name in names:
                with suppress(FileNotFoundError):  # merged meanwhile, and what it was merged into is synced by that
                    sync_tree(folder / name)
        except OSError as failure:
            raise EngineError(f"the table {table} cannot be synced: {failure}") from failure

    def attach(self, table: str, parts: Path) -> None:
        """See `Engine`."""
        detached = self._folder_of(table) / "detached"
        for part in sorted(parts.iterdir()):
            part.rename(detached / part.name)
        self._query(f"ALTER TABLE {table} ATTACH PARTITION tuple()", "TSV", {})

    def _folder_of(self, table: str) -> Path:
        """Where the table's parts are."""
        [[folder]] = self.rows(schema_queries.FOLDER_OF_TABLE, {"table": table})
        return Path(folder)

    def release_memory(self) -> None:
        """See `Engine`."""
        self._query(schema_queries.RELEASE_MEMORY, "TSV", {})

    def abandon(self) -> None:
        """See `Engine`. Here whatever was done is done when its call returns."""
        raise EngineError("the embedded engine has no other owner")

    def close(self) -> None:
        """See `Engine`."""
        while self._idle:
            self._idle.pop().close()

    def _connect(self) -> Any:
        try:
            connection = chdb.connect(f"{self._folder}{_OPENED_WITH}")
            connection.query(_SET, "TSV")
        except RuntimeError as failure:
            raise _error(failure) from failure
        return connection

    def _query(self, sql: str, output_format: str, parameters: Parameters) -> Any:
        literals = {name: _literal(value) for name, value in parameters.items()}
        try:
            connection = self._idle.pop()
        except IndexError:
            connection = self._connect()
        try:
            return connection.query(sql, output_format, params=literals)
        except RuntimeError as failure:  # everything that chdb raises is one
            raise _error(failure) from failure
        except UnicodeDecodeError as failure:  # a message that quotes what was found in a file
            raise DamagedStorage("the engine found what is no text, where it wrote text") from failure
        finally:
            self._idle.append(connection)


def _error(failure: RuntimeError) -> EngineError:
    message = str(failure)
    found = _CODE.search(message)
    return error_of(int(found[1]) if found else 0, message)


def _scratch_file() -> BinaryIO:
    if hasattr(os, "memfd_create"):  # Linux, where it takes nothing but memory
        return os.fdopen(os.memfd_create("meterhouse-insert"), "w+b")
    return tempfile.TemporaryFile()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "\\'") + "'"


def _literal(value: Parameter) -> object:
    """A parameter in the tab-separated notation in which ClickHouse reads them, where texts in arrays are quoted."""
    if isinstance(value, str):
        return _escape(value)
    if isinstance(value, Sequence) and value and isinstance(value[0], str):
        return "[" + ",".join("'" + _escape(str(text)).replace("'", "\\'") + "'" for text in value) + "]"
    return value


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n")

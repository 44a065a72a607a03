"""An engine that flushes the journal before each statement about events."""

from __future__ import annotations

from typing import Any

from ....ports.chunks import Chunks
from ..engine.engine import NO_PARAMETERS, Engine, Parameters
from ..engine.table_form import TableForm
from .journal import Journal


class FlushingEngine:
    """Flushes the journal, then calls the engine: the table of events has every commit that was there when the call
    began."""

    def __init__(self, engine: Engine, journal: Journal):
        self._engine, self._journal = engine, journal

    @property
    def table_form(self) -> TableForm:
        """See `Engine`."""
        return self._engine.table_form

    def execute(self, sql: str, parameters: Parameters = NO_PARAMETERS) -> None:
        """See `Engine`."""
        self._journal.flush()
        self._engine.execute(sql, parameters)

    def rows(self, sql: str, parameters: Parameters) -> list[list[Any]]:
        """See `Engine`."""
        self._journal.flush()
        return self._engine.rows(sql, parameters)

    def uint64s(self, sql: str, parameters: Parameters) -> bytes:
        """See `Engine`."""
        self._journal.flush()
        return self._engine.uint64s(sql, parameters)

    def insert(self, table: str, block: bytes, token: str = "") -> None:
        """See `Engine`."""
        self._journal.flush()
        self._engine.insert(table, block, token)

    def stream(self, sql: str, parameters: Parameters, output_format: str) -> Chunks:
        """See `Engine`."""
        self._journal.flush()
        return self._engine.stream(sql, parameters, output_format)

    def sync_names(self, table: str) -> None:
        """See `Engine`."""
        self._engine.sync_names(table)

    def sync_parts(self, table: str) -> None:
        """See `Engine`."""
        self._engine.sync_parts(table)

    def release_memory(self) -> None:
        """See `Engine`."""
        self._engine.release_memory()

    def abandon(self) -> None:
        """See `Engine`."""
        self._engine.abandon()

    def close(self) -> None:
        """See `Engine`."""
        self._journal.close()
        self._engine.close()

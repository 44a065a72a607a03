"""What a server has left on its disk, counted without the server: in its journal, in its events and in its rollups."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from meterhouse.catalog_files import load_catalogs
from meterhouse.storage.clickhouse.engine.chdb_engine import ChdbEngine
from meterhouse.storage.clickhouse.journal.segments import read_segments
from meterhouse.storage.clickhouse.rollups.definition import Kind, all_definitions
from meterhouse.storage.manifest import read_manifest
from support.books import SOURCE, Sent

_EVENTS = "SELECT namespace, id, organization, type, toUnixTimestamp64Micro(time), data, source FROM {}"
_ROLLED_UP = """
SELECT organization, sum(events) FROM rollups
WHERE series = {series:UInt64} AND organization != '' AND width = 1 GROUP BY organization
"""
_STORED = """
SELECT organization, count() FROM events
WHERE namespace = {namespace:String} AND type = {type:String}
    AND commit <= (SELECT max(watermark) FROM rollups WHERE series = {series:UInt64} AND organization = '')
GROUP BY organization
"""


class Inventory:
    """Of a folder that nobody serves."""

    def __init__(self, folder: Path, engine: ChdbEngine):
        self._folder = folder
        self._engine = engine

    def events(self) -> Iterator[Sent]:
        """Every event that is stored, and every one that waits in the journal to be."""
        yield from self._events_of("events")
        stored = {commit for [commit] in self._engine.rows("SELECT DISTINCT commit FROM events", {})}
        manifest = read_manifest(self._folder / "manifest")
        records, damages = read_segments(self._folder / "journal", manifest.state.commit)
        assert not damages, damages
        self._engine.execute("CREATE OR REPLACE TABLE waiting AS events ENGINE = Memory")
        for record in records:
            if record.commit not in stored:
                self._engine.insert("waiting", record.block)
        yield from self._events_of("waiting")
        self._engine.execute("DROP TABLE waiting")

    def _events_of(self, table: str) -> Iterator[Sent]:
        for namespace, event_id, organization, kind, micros, data, source in self._engine.rows(
            _EVENTS.format(table), {}
        ):
            at = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
            yield Sent(namespace, organization, kind, event_id if source == SOURCE else f"of {source}", at, data)

    def miscounted(self) -> int:
        """By how much rollups and the events that they have taken in differ."""
        meters = {each.namespace: tuple(each.meters.values()) for each in load_catalogs(())}
        wrong = 0
        for series in all_definitions(meters):
            if series.kind is Kind.COUNT and not series.group:
                scope: dict[str, str | int] = {
                    "series": series.id,
                    "namespace": series.namespace,
                    "type": series.event_type,
                }
                definitions_for = Counter(dict(self._engine.rows(_ROLLED_UP, scope)))
                stored = Counter(dict(self._engine.rows(_STORED, scope)))
                wrong += ((definitions_for - stored) + (stored - definitions_for)).total()
        return wrong


@contextmanager
def opened(folder: Path) -> Iterator[Inventory]:
    engine = ChdbEngine(folder / "events")
    try:
        yield Inventory(folder, engine)
    finally:
        engine.close()

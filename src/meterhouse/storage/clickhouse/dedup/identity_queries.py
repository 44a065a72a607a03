"""Looking events up by their identities."""

from __future__ import annotations

from collections.abc import Iterable

from ..engine.statement import STORED_EVENT, Statement

IDENTITIES_BETWEEN = "SELECT identity FROM events WHERE identity BETWEEN {first:UInt64} AND {last:UInt64}"

IDENTITIES_AFTER = "SELECT identity FROM events WHERE commit > {commit:UInt64}"

_WITH_INDEX = """
SETTINGS min_table_rows_to_use_projection_index = 0, max_projection_rows_to_use_projection_index = 1000000000000,
    use_query_condition_cache = 0
"""

# The stored events whose identity hash is one of these; the caller compares the full identities.
_BY_IDENTITY = f"SELECT {STORED_EVENT} FROM events WHERE identity IN {{identities:Array(UInt64)}}"
EVENTS_BY_IDENTITY = f"{_BY_IDENTITY} {_WITH_INDEX}"
EVENTS_BY_IDENTITY_WITHOUT_INDEX = f"{_BY_IDENTITY} SETTINGS optimize_use_projections = 0"

# How many parts lack the index of identities, or have it damaged: without it a part is read from end to end. The engine
# does not sync it, so that a loss of power may damage it. Making it twice is harmless.
PARTS_WITHOUT_IDENTITIES = """
SELECT count() FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active AND rows > 0
AND (NOT has(projections, 'by_identity') OR name IN (
    SELECT parent_name FROM system.projection_parts
    WHERE database = currentDatabase() AND table = 'events' AND active AND is_broken
))
"""
CLEAR_IDENTITIES_AND_WAIT = "ALTER TABLE events CLEAR PROJECTION by_identity SETTINGS mutations_sync = 1"
CLEAR_IDENTITIES = "ALTER TABLE events CLEAR PROJECTION by_identity SETTINGS mutations_sync = 0"

INDEX_IDENTITIES = "ALTER TABLE events MATERIALIZE PROJECTION by_identity SETTINGS mutations_sync = 0"


class EventsBetweenHashes(Statement):
    """The events whose identity hash is in one of some ranges, both ends included. Its rows are stored events."""

    def __init__(self, ranges: Iterable[tuple[int, int]]):
        super().__init__()
        conditions = (
            f"identity BETWEEN {self._parameter('UInt64', first)} AND {self._parameter('UInt64', last)}"
            for first, last in ranges
        )
        self.sql = f"SELECT {STORED_EVENT} FROM events WHERE {' OR '.join(conditions)} {_WITH_INDEX}"

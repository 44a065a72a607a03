"""The SQL of changing stored events in place."""

from __future__ import annotations

from ....domain.erasure import REMOVAL

# Rewriting some events in place. What they become is in a table in memory, by where they stand.
_PLACE = "commit * 4294967296 + position"
REPLACE_REWRITES = """
CREATE OR REPLACE TABLE rewrites (
    place UInt64, data String, numbers Map(LowCardinality(String), Decimal(76, 28))
) ENGINE = Join(ANY, LEFT, place) SETTINGS persistent = 0
"""
CURRENT_DATABASE = "SELECT currentDatabase()"


def rewrite(database: str) -> str:
    """Rewrites events; a change in place runs later, when no database is the current one."""
    return f"""
ALTER TABLE events UPDATE data = joinGet('{database}.rewrites', 'data', {_PLACE}),
    numbers = joinGet('{database}.rewrites', 'numbers', {_PLACE})
WHERE {_PLACE} IN (SELECT place FROM {database}.rewrites) SETTINGS mutations_sync = 0
"""


DROP_REWRITES = "DROP TABLE IF EXISTS rewrites"
MUTATIONS_LEFT = """
SELECT latest_fail_reason FROM system.mutations
WHERE database = currentDatabase() AND table = 'events' AND NOT is_done
"""
KILL_MUTATIONS = "KILL MUTATION WHERE database = currentDatabase() AND table = 'events' AND NOT is_done"

_REMOVABLE = (
    f"namespace = {{namespace:String}} AND organization = {{organization:String}} AND type != '{REMOVAL}'"
    " AND commit <= {commit:UInt64}"
)
REMOVABLE = f"SELECT count() FROM events WHERE {_REMOVABLE}"
REMOVE = f"ALTER TABLE events DELETE WHERE {_REMOVABLE} SETTINGS mutations_sync = 0"

"""The SQL of holding a folder to what it must have, and of putting it right. What is put into a text is the name of a
part, which the engine gave."""

from __future__ import annotations

from ..dedup.identity_queries import IDENTITIES_BETWEEN

# Holding the table to the manifest, and its files to their checksums.
CHECK_PART = "CHECK TABLE events PART '{}' SETTINGS check_query_single_value_result = 0, max_threads = 1"
_TABLE = "SELECT count() FROM system.tables WHERE database = currentDatabase() AND name ="
HAS_EVENTS = f"{_TABLE} 'events'"
HAS_ROLLUPS = f"{_TABLE} 'rollups'"
DROP_ROLLUPS = "DROP TABLE IF EXISTS rollups"
COMMIT_AND_COUNT = "SELECT max(commit), count() FROM events"
COUNT_EVENTS_UPTO = "SELECT (SELECT count() FROM events) - (SELECT count() FROM events WHERE commit > {commit:UInt64})"
DETACHED_PARTS = "SELECT name FROM system.detached_parts WHERE database = currentDatabase() AND table = 'events'"
COMMIT_GAPS = """
SELECT previous + 1, commit - 1, since, until FROM (
    SELECT commit, lagInFrame(commit) OVER w AS previous, toUnixTimestamp64Micro(first) AS until,
        toUnixTimestamp64Micro(lagInFrame(last) OVER w) AS since
    FROM (
        SELECT commit, min(stored_at) AS first, max(stored_at) AS last FROM events GROUP BY commit
        UNION ALL SELECT {commit:UInt64} + 1, toDateTime64(0, 6, 'UTC'), toDateTime64(0, 6, 'UTC')
    )
    WINDOW w AS (ORDER BY commit ROWS BETWEEN 1 PRECEDING AND CURRENT ROW)
) WHERE commit > previous + 1 AND commit <= {commit:UInt64} + 1 ORDER BY commit LIMIT 100
"""
# A slot counts each event of the type once, or none where the meter has no use for it.
COUNTED_AND_GONE = """
SELECT organization, counted - stored AS gone FROM (
    SELECT organization, sum(events) AS counted FROM rollups
    WHERE series = {series:UInt64} AND organization != '' AND width = 1 GROUP BY organization
) AS rolled_up LEFT JOIN (
    SELECT organization, toInt64(count()) AS stored FROM events
    WHERE namespace = {namespace:String} AND type = {type:String}
        AND commit <= (SELECT max(watermark) FROM rollups WHERE series = {series:UInt64} AND organization = '')
    GROUP BY organization
) AS there USING (organization) WHERE gone > 0 ORDER BY gone DESC LIMIT 100
"""

IDENTITIES_BETWEEN_UPTO = f"{IDENTITIES_BETWEEN} AND commit <= {{commit:UInt64}}"

# Taking parts back that were set aside; their names are the engine's.
STOP_MERGES = "SYSTEM STOP MERGES events"
ACTIVE_PARTS = """
SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND active ORDER BY name
"""
ATTACH_PART = "ALTER TABLE events ATTACH PART '{}'"
DETACH_PART = "ALTER TABLE events DETACH PART '{}'"
READ_PART = """
SELECT countIf(cityHash64(*) != 0), (
    SELECT sum(rows) FROM system.parts WHERE database = currentDatabase() AND table = 'events' AND name = {part:String}
) FROM events WHERE _part = {part:String} SETTINGS use_skip_indexes = 0
"""
TWICE_IN_PART = """
SELECT count() FROM events WHERE _part = {part:String} AND (commit, position) IN (
    SELECT commit, position FROM events WHERE _part != {part:String}
) SETTINGS use_skip_indexes = 0
"""
REPLACE_SALVAGED = "CREATE OR REPLACE TABLE salvaged AS events"
DROP_SALVAGED = "DROP TABLE salvaged"
COUNT_SALVAGED = "SELECT count() FROM salvaged"
ROWS_OF_PART = """
SELECT rows FROM system.parts
WHERE database = currentDatabase() AND table = 'events' AND active AND name = {part:String}
"""
SALVAGE = """
INSERT INTO salvaged SELECT * FROM events
WHERE _part = {part:String} AND _part_offset >= {first:UInt64} AND _part_offset < {end:UInt64}
SETTINGS max_insert_block_size = 100000000, min_insert_block_size_rows = 100000000, max_threads = 1,
    use_skip_indexes = 0, optimize_use_projections = 0
"""
TAKE_SALVAGED = "INSERT INTO events SELECT * FROM salvaged"

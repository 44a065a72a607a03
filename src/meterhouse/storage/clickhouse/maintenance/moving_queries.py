"""The SQL of moving events from stores into others, by way of files."""

from __future__ import annotations

from ....domain.correction import RESTORE, VOID
from ....domain.retention import EVERYONE, RETENTION

_BEFORE_COMMIT = "namespace, organization, type, time, source, id, identity"
_AFTER_COMMIT = "position, stored_at, data"
_COLUMNS = f"{_BEFORE_COMMIT}, commit, {_AFTER_COMMIT}, numbers"
_CORRECTS = f"type IN ('{VOID}', '{RESTORE}')"

# A record tells what was reduced of a namespace: it belongs wherever events of the namespace come to.
_IS_RECORD = f"(organization = '{EVERYONE}' AND type = '{RETENTION}')"

_BYTES = 200_000_000
"""Of what is sorted, grouped or joined, more goes to the disk."""
# Blocks that make few parts of many events, and take little memory.
_LITTLE_MEMORY = (
    "max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = 100000, "
    "min_insert_block_size_bytes = 30000000"
)

ORGANIZATIONS = f"""
SELECT namespace, organization FROM events WHERE NOT {_IS_RECORD} GROUP BY namespace, organization
SETTINGS optimize_aggregation_in_order = 1, max_threads = 1
"""

# How many events there are and what they say, as sums modulo 2 ** 64: the same wherever they are, and in whichever
# commits. A correction has the commit of what it corrects among its numbers.
CONTENT = f"""
SELECT count(), sum(cityHash64({_BEFORE_COMMIT}, {_AFTER_COMMIT})),
    sumIf(cityHash64(identity, numbers), NOT {_CORRECTS}),
    sumIf(cityHash64(identity, numbers['time'], numbers['position']), {_CORRECTS})
FROM events WHERE NOT {_IS_RECORD}
"""

_STRUCTURE = (
    "namespace LowCardinality(String), organization String, type LowCardinality(String), time DateTime64(6, ''UTC''), "
    "source String, id String, identity UInt64, commit UInt64, position UInt32, stored_at DateTime64(6, ''UTC''), "
    "data String, numbers Map(LowCardinality(String), Decimal(76, 28))"
)
_FILE = f"file({{file:String}}, 'Native', '{_STRUCTURE}', 'zstd')"
_HOMES = "file({homes:String}, 'Native', 'namespace String, organization String, shard UInt32')"
WRITE_OUT = f"""
INSERT INTO FUNCTION {_FILE} SELECT {_COLUMNS} FROM events
WHERE {_IS_RECORD} OR (namespace, organization) IN (
    SELECT namespace, organization FROM {_HOMES} WHERE shard = {{shard:UInt32}}
)
"""

TAKE_IN = f"INSERT INTO events ({_COLUMNS}) SELECT {_COLUMNS} FROM {_FILE} SETTINGS {_LITTLE_MEMORY}"

# Commits of several stores, in the order in which they became known. A clock that was set back by days leaves commits
# that seem to be of later than the ones after them: they are known as soon as those are.
CREATE_COMMITS = (
    "CREATE TABLE commits (store UInt32, commit UInt64, known_at Int64) ENGINE = MergeTree ORDER BY known_at"
)
TAKE_COMMITS = f"""
INSERT INTO commits
SELECT {{store:UInt32}}, commit, min(stored) OVER (
    ORDER BY commit DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW
) FROM (
    SELECT commit, toUnixTimestamp64Micro(min(stored_at)) AS stored FROM {_FILE} GROUP BY commit
) SETTINGS max_bytes_before_external_group_by = {_BYTES}, max_bytes_before_external_sort = {_BYTES}
"""
COMMITS_IN_ORDER = f"""
SELECT store, commit FROM commits ORDER BY known_at, store, commit SETTINGS max_bytes_before_external_sort = {_BYTES}
"""

# A number also as it stands among the numbers of a correction: the engine does not make one from the other. A file that
# is read twice has two names, because some systems read it once under each.
_NUMBERS = "file({{{}:String}}, 'Native', 'commit UInt64, number UInt64, units Decimal(76, 28)')"
_CORRECTIONS = _FILE.replace("{file:", "{corrections:")
# The same record comes from every store, and is taken once.
_NEW = (
    f"NOT ({_IS_RECORD} AND (namespace, source, id) IN (SELECT namespace, source, id FROM events WHERE {_IS_RECORD}))"
)
TAKE_IN_NUMBERED = f"""
INSERT INTO events ({_COLUMNS})
SELECT {_BEFORE_COMMIT}, own.number, {_AFTER_COMMIT}, if(
    {_CORRECTS},
    CAST(map('commit', corrected.units, 'position', numbers['position'], 'time', numbers['time'])
        AS Map(LowCardinality(String), Decimal(76, 28))),
    numbers
) FROM (
    SELECT *, if({_CORRECTS}, toUInt64(toString(numbers['commit'])), 0) AS corrects FROM {_FILE} WHERE {_NEW}
) AS moved
INNER JOIN (SELECT commit, number FROM {_NUMBERS.format("numbers")}) AS own ON own.commit = moved.commit
LEFT JOIN (
    SELECT commit, units FROM {_NUMBERS.format("again")}
    WHERE commit IN (SELECT toUInt64(toString(numbers['commit'])) FROM {_CORRECTIONS} WHERE {_CORRECTS})
) AS corrected ON corrected.commit = moved.corrects
SETTINGS join_algorithm = 'grace_hash', max_bytes_in_join = {_BYTES}, {_LITTLE_MEMORY}
"""

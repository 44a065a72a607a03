"""The SQL of copying events from a running server into the tables of a cluster."""

from __future__ import annotations

from ....domain.retention import EVERYONE, RETENTION

_COLUMNS = "namespace, organization, type, time, source, id, identity, commit, position, stored_at, data, numbers"
# A record tells what was reduced of a namespace: it belongs wherever events of the namespace come to.
_IS_RECORD = f"(organization = '{EVERYONE}' AND type = '{RETENTION}')"
_IN_RANGE = "commit > {after:UInt64} AND commit <= {upto:UInt64}"

# An event takes some hundred bytes besides its texts.
SIZE = f"SELECT sum(length(source) + length(id) + length(data) + 100) FROM events WHERE {_IN_RANGE}"
ORGANIZATIONS_OF_COMMITS = f"SELECT DISTINCT namespace, organization FROM events WHERE {_IN_RANGE} AND NOT {_IS_RECORD}"
ROWS = f"""
SELECT {_COLUMNS} FROM events
WHERE {_IN_RANGE} AND ({_IS_RECORD} OR (namespace, organization) IN (
    SELECT namespace, organization FROM file({{homes:String}}, 'Native', 'namespace String, organization String')
)) SETTINGS max_threads = 1
"""

# Sums modulo 2 ** 64, which are the same in whichever order and in however many tables the events are.
CONTENT_OF_COMMITS = f"""
SELECT countIf(NOT {_IS_RECORD}), sumIf(cityHash64({_COLUMNS}), NOT {_IS_RECORD}),
    countIf({_IS_RECORD}), sumIf(cityHash64({_COLUMNS}), {_IS_RECORD})
FROM events WHERE {_IN_RANGE}
"""

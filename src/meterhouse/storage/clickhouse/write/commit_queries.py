"""What the table tells of its commits, and the drafts of a preview."""

from __future__ import annotations

LATEST_COMMIT = "SELECT max(commit) FROM events WHERE commit >= {commit:UInt64}"

STORED_AT = "SELECT toUnixTimestamp64Micro(max(stored_at)) FROM events WHERE commit = {commit:UInt64}"

NEWEST_STORED_AT = "SELECT toUnixTimestamp64Micro(max(stored_at)) FROM events"

# How many events a commit has, and the sums of their identities and of when they were stored, modulo 2 ** 64.
COMMIT_FINGERPRINT = """
SELECT count(), sum(identity), toUInt64(sum(toUInt64(toUnixTimestamp64Micro(stored_at))))
FROM events WHERE commit = {commit:UInt64}
"""

# Events that are not stored, to see what would become of answers: as if they were the last of a commit.
REPLACE_DRAFTS = "CREATE OR REPLACE TABLE drafts AS events ENGINE = Memory"
DROP_DRAFTS = "DROP TABLE drafts"

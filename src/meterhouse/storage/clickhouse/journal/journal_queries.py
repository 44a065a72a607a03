"""Which commits of the journal the engine has."""

from __future__ import annotations

COUNT_COMMITS = "SELECT count() FROM events WHERE commit BETWEEN {first:UInt64} AND {last:UInt64}"
COMMITS_SINCE = "SELECT DISTINCT commit FROM events WHERE commit >= {commit:UInt64}"

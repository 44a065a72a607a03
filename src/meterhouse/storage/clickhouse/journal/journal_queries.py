"""Which commits of the journal the engine has."""

from __future__ import annotations

COMMITS_SINCE = "SELECT DISTINCT commit FROM events WHERE commit >= {commit:UInt64}"

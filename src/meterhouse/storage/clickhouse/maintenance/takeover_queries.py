"""The SQL of taking a shard's databases over. Names are put in by `takeover`: the settings take none but of letters,
digits and _."""

from __future__ import annotations

# Which of a shard's databases there are, with what each says of itself, and whether it has the table of events.
DATABASES = """
SELECT name, comment, name IN (SELECT database FROM system.tables WHERE name = 'events') FROM system.databases
WHERE startsWith(name, {prefix:String}) ORDER BY name
"""
CREATE_DATABASE = "CREATE DATABASE IF NOT EXISTS {name}{on_cluster} COMMENT '{comment}'"
DROP_DATABASE = "DROP DATABASE IF EXISTS {name}{on_cluster}"
MOVE_EVENTS = "RENAME TABLE {old}.events TO {new}.events{on_cluster}"
COPY_ROLLUPS = "ALTER TABLE rollups ATTACH PARTITION tuple() FROM {old}.rollups"

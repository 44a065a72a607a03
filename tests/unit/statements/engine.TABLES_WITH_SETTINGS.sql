SELECT name, engine_full
FROM system.tables
WHERE database = currentDatabase()
AND name IN ('events', 'rollups')

ALTER TABLE rollups ATTACH PARTITION tuple()
FROM {old}.rollups

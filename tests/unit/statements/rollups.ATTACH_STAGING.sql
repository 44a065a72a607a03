ALTER TABLE rollups ATTACH PARTITION tuple()
FROM staging

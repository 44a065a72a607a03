SELECT countIf(cityHash64(*) != 0), (
    SELECT sum(rows)
    FROM system.parts
    WHERE database = currentDatabase()
    AND table = 'events'
    AND name = {part:String} )
FROM events
WHERE _part = {part:String}
SETTINGS use_skip_indexes = 0

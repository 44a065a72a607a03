SELECT count()
FROM events
WHERE _part = {part:String}
AND (commit, position) IN (
    SELECT commit, position
    FROM events
    WHERE _part != {part:String} )
SETTINGS use_skip_indexes = 0

SELECT count()
FROM system.parts
WHERE database = currentDatabase()
AND table = 'events'
AND active
AND rows > 0
AND (NOT has(projections, 'by_identity') OR name IN (
        SELECT parent_name
        FROM system.projection_parts
        WHERE database = currentDatabase()
        AND table = 'events'
        AND active
        AND is_broken ))

SELECT name
FROM system.parts
WHERE database = currentDatabase()
AND table = 'events'
AND active
ORDER BY name

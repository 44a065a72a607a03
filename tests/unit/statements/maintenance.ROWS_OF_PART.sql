SELECT rows
FROM system.parts
WHERE database = currentDatabase()
AND table = 'events'
AND active
AND name = {part:String}

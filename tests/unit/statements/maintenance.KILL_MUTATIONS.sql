KILL MUTATION
WHERE database = currentDatabase()
AND table = 'events'
AND NOT is_done

SELECT min_block_number, max_block_number
FROM system.parts
WHERE database = currentDatabase()
AND table = 'rollups'
AND active
ORDER BY min_block_number

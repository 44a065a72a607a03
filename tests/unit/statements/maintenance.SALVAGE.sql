INSERT INTO salvaged
SELECT *
FROM events
WHERE _part = {part:String}
AND _part_offset >= {first:UInt64}
AND _part_offset < {end:UInt64}
SETTINGS max_insert_block_size = 100000000, min_insert_block_size_rows = 100000000, max_threads = 1, use_skip_indexes = 0, optimize_use_projections = 0

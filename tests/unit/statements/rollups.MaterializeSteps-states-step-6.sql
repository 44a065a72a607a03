INSERT INTO staging
SETTINGS max_threads = 1, max_insert_threads = 1, max_insert_block_size = 100000000, min_insert_block_size_rows = 100000000, min_insert_block_size_bytes = 8000000000
SELECT *
FROM staged

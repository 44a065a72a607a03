-- p0 = 9
SELECT id, source, type, organization AS subject, time, namespace, data
FROM events
WHERE commit <= {p0:UInt64}
ORDER BY commit, position
SETTINGS max_threads = 1, max_bytes_before_external_sort = 100000000, max_bytes_ratio_before_external_sort = 0, prefer_external_sort_block_bytes = 4000000, output_format_parquet_row_group_size = 50000, output_format_json_escape_forward_slashes = 0

-- p0 = 9
-- p1 = 'ns'
-- p2 = 'acme'
SELECT concat('{"specversion":"1.0","id":', toJSONString(id), ',"source":', toJSONString(source), ',"type":', toJSONString(type), ',"subject":', toJSONString(organization), ',"time":"', replaceOne(toString(time), ' ', 'T'), 'Z","namespace":', toJSONString(namespace), ',"data":', translate(data, '\n\r', ' '), '}')
FROM events
WHERE commit <= {p0:UInt64}
AND namespace = {p1:String}
AND organization = {p2:String}
ORDER BY commit, position
SETTINGS max_threads = 1, max_bytes_before_external_sort = 100000000, max_bytes_ratio_before_external_sort = 0, prefer_external_sort_block_bytes = 4000000, output_format_parquet_row_group_size = 50000, output_format_json_escape_forward_slashes = 0

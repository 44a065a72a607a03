SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data, commit, position, toUnixTimestamp64Micro(stored_at)
FROM events
WHERE identity IN {identities:Array(UInt64)}
SETTINGS min_table_rows_to_use_projection_index = 0, max_projection_rows_to_use_projection_index = 1000000000000, use_query_condition_cache = 0

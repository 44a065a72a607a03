-- p0 = 1
-- p1 = 2
-- p2 = 5
-- p3 = 9
SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data, commit, position, toUnixTimestamp64Micro(stored_at)
FROM events
WHERE identity BETWEEN {p0:UInt64} AND {p1:UInt64} OR identity BETWEEN {p2:UInt64} AND {p3:UInt64}
SETTINGS min_table_rows_to_use_projection_index = 0, max_projection_rows_to_use_projection_index = 1000000000000, use_query_condition_cache = 0

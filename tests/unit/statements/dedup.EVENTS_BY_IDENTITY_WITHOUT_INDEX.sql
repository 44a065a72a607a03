SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data, commit, position, toUnixTimestamp64Micro(stored_at)
FROM events
WHERE identity IN {identities:Array(UInt64)}
SETTINGS optimize_use_projections = 0

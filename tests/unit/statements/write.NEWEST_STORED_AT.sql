SELECT toUnixTimestamp64Micro(max(stored_at))
FROM events

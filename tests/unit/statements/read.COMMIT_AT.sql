SELECT max(commit)
FROM events
WHERE stored_at <= fromUnixTimestamp64Micro({instant:Int64}, 'UTC')

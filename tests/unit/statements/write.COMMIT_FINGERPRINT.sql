SELECT count(), sum(identity), toUInt64(sum(toUInt64(toUnixTimestamp64Micro(stored_at))))
FROM events
WHERE commit = {commit:UInt64}

SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data, commit, position, toUnixTimestamp64Micro(stored_at)
FROM events
WHERE commit > {after:UInt64}
AND commit <= {upto:UInt64}
AND type IN ('meterhouse.add', 'meterhouse.restore', 'meterhouse.void')
ORDER BY commit, position

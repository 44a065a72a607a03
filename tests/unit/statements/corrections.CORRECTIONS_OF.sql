SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data, commit, position, toUnixTimestamp64Micro(stored_at)
FROM events
WHERE namespace = {namespace:String}
AND organization = {organization:String}
AND type IN ('meterhouse.void', 'meterhouse.restore', 'meterhouse.add', 'meterhouse.conflict')
AND JSONExtractString(data, 'source') = {source:String}
AND JSONExtractString(data, 'id') = {id:String}
ORDER BY commit, position

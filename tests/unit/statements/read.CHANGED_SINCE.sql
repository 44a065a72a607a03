SELECT namespace, organization, max(type IN ('meterhouse.add', 'meterhouse.restore', 'meterhouse.void'))
FROM events
WHERE commit > {commit:UInt64}
GROUP BY namespace, organization

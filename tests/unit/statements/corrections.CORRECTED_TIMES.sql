SELECT namespace, organization, groupUniqArray(toInt64(toString(numbers['time'])))
FROM events
WHERE commit > {commit:UInt64}
AND type IN ('meterhouse.void', 'meterhouse.restore')
GROUP BY namespace, organization

SELECT toUInt64(toString(numbers['commit'])) AS of_commit, toUInt32(toString(numbers['position'])) AS at_position
FROM events
WHERE namespace = {namespace:String}
AND type IN ('meterhouse.void', 'meterhouse.restore')
AND (of_commit, at_position) IN {places:Array(Tuple(UInt64, UInt32))}
GROUP BY of_commit, at_position
HAVING argMax(type, (commit, position)) = 'meterhouse.void'

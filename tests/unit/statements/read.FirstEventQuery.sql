-- p0 = 'ns'
-- p1 = 'acme'
-- p2 = 18446744073709551615
SELECT toUnixTimestamp64Micro(min(time)), count()
FROM events
WHERE namespace = {p0:String}
AND organization = {p1:String}
AND NOT startsWith(type, 'meterhouse.')
AND (commit, position) NOT IN (
    SELECT toUInt64(toString(numbers['commit'])), toUInt32(toString(numbers['position']))
    FROM events
    WHERE namespace = {p0:String}
    AND organization = {p1:String}
    AND type IN ('meterhouse.void', 'meterhouse.restore')
    AND commit <= {p2:UInt64}
    GROUP BY 1, 2
    HAVING argMax(type, (commit, position)) = 'meterhouse.void')

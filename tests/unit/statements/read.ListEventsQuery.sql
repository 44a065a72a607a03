-- p0 = 'ns'
-- p1 = 'acme'
-- p2 = 'call'
-- p3 = 9
-- p4 = 1772323200000000
-- p5 = 1772366400000000
-- p6 = 'a'
-- p7 = 'b'
-- p8 = 'model'
-- p9 = 50
SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data, commit, position, toUnixTimestamp64Micro(stored_at)
FROM events
WHERE namespace = {p0:String}
AND organization = {p1:String}
AND type = {p2:String}
AND commit <= {p3:UInt64}
AND time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
AND time < fromUnixTimestamp64Micro({p5:Int64}, 'UTC')
AND multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') IN ({p6:String}, {p7:String})
AND (commit, position) NOT IN (
    SELECT toUInt64(toString(numbers['commit'])), toUInt32(toString(numbers['position']))
    FROM events
    WHERE namespace = {p0:String}
    AND organization = {p1:String}
    AND type IN ('meterhouse.void', 'meterhouse.restore')
    AND commit <= {p3:UInt64}
    GROUP BY 1, 2
    HAVING argMax(type, (commit, position)) = 'meterhouse.void')
ORDER BY time DESC, commit DESC, position DESC
LIMIT {p9:UInt64}

-- p0 = 'user.id'
-- p1 = 'user'
-- p2 = 'id'
-- p3 = 'call'
-- p4 = 1772323200000000
-- p5 = 1772366400000000
-- p6 = 'ns'
-- p7 = 'acme'
-- p8 = 9
-- p9 = 'model'
-- p10 = ('a', 'b')
-- p11 = 1001
SELECT window, groupUniqArray(value)
FROM (
    SELECT DISTINCT window, value
    FROM (
        SELECT 0 AS window, multiIf(JSONHas(data, {p0:String}), multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), ''), multiIf(JSONType(data, {p1:String}, {p2:String}) = 'String', JSONExtractString(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) = 'Bool', JSONExtractRaw(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), if(JSONType(data, {p1:String}, {p2:String}) != 'Double', JSONExtractRaw(data, {p1:String}, {p2:String}), '')), '')) AS value
        FROM events
        WHERE namespace = {p6:String}
        AND organization = {p7:String}
        AND commit <= {p8:UInt64}
        AND (commit, position) NOT IN (
            SELECT toUInt64(toString(numbers['commit'])), toUInt32(toString(numbers['position']))
            FROM events
            WHERE namespace = {p6:String}
            AND organization = {p7:String}
            AND type IN ('meterhouse.void', 'meterhouse.restore')
            AND commit <= {p8:UInt64}
            GROUP BY 1, 2
            HAVING argMax(type, (commit, position)) = 'meterhouse.void')
        AND type = {p3:String}
        AND time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p5:Int64}, 'UTC')
        AND multiIf(JSONType(data, {p9:String}) = 'String', JSONExtractString(data, {p9:String}), JSONType(data, {p9:String}) = 'Bool', JSONExtractRaw(data, {p9:String}), JSONType(data, {p9:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p9:String}), toString(numbers[{p9:String}]), ''), '') IN {p10:Array(String)}
        AND value != '')
    LIMIT {p11:UInt64})
GROUP BY window

-- p0 = 'call'
-- p1 = 'disk'
-- p2 = 'ns'
-- p3 = 'acme'
-- p4 = 9
-- p5 = 7
-- p6 = 1772323200000000
-- p7 = 1772366400000000
-- p8 = 'model'
-- p9 = ('a',)
-- p10 = 'latency_ms'
-- p11 = 'gb'
-- p12 = 'user.id'
-- p13 = 'user'
-- p14 = 'id'
-- p15 = 101
SELECT 0 AS window, [toString(maxIf(numbers[{p10:String}], type = {p0:String}
        AND mapContains(numbers, {p10:String})))], countIf(type = {p0:String}
    AND mapContains(numbers, {p10:String})), [toString((maxIf((toUnixTimestamp64Micro(time), commit, position, toString(numbers[{p11:String}])), type = {p1:String}
            AND mapContains(numbers, {p11:String}))).1), toString((maxIf((toUnixTimestamp64Micro(time), commit, position, toString(numbers[{p11:String}])), type = {p1:String}
            AND mapContains(numbers, {p11:String}))).2), toString((maxIf((toUnixTimestamp64Micro(time), commit, position, toString(numbers[{p11:String}])), type = {p1:String}
            AND mapContains(numbers, {p11:String}))).3), (maxIf((toUnixTimestamp64Micro(time), commit, position, toString(numbers[{p11:String}])), type = {p1:String}
        AND mapContains(numbers, {p11:String}))).4], countIf(type = {p1:String}
    AND mapContains(numbers, {p11:String})), [toString(uniqExactIf(multiIf(JSONHas(data, {p12:String}), multiIf(JSONType(data, {p12:String}) = 'String', JSONExtractString(data, {p12:String}), JSONType(data, {p12:String}) = 'Bool', JSONExtractRaw(data, {p12:String}), JSONType(data, {p12:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p12:String}), toString(numbers[{p12:String}]), ''), ''), multiIf(JSONType(data, {p13:String}, {p14:String}) = 'String', JSONExtractString(data, {p13:String}, {p14:String}), JSONType(data, {p13:String}, {p14:String}) = 'Bool', JSONExtractRaw(data, {p13:String}, {p14:String}), JSONType(data, {p13:String}, {p14:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p12:String}), toString(numbers[{p12:String}]), if(JSONType(data, {p13:String}, {p14:String}) != 'Double', JSONExtractRaw(data, {p13:String}, {p14:String}), '')), '')), type = {p0:String}
        AND multiIf(JSONHas(data, {p12:String}), multiIf(JSONType(data, {p12:String}) = 'String', JSONExtractString(data, {p12:String}), JSONType(data, {p12:String}) = 'Bool', JSONExtractRaw(data, {p12:String}), JSONType(data, {p12:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p12:String}), toString(numbers[{p12:String}]), ''), ''), multiIf(JSONType(data, {p13:String}, {p14:String}) = 'String', JSONExtractString(data, {p13:String}, {p14:String}), JSONType(data, {p13:String}, {p14:String}) = 'Bool', JSONExtractRaw(data, {p13:String}, {p14:String}), JSONType(data, {p13:String}, {p14:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p12:String}), toString(numbers[{p12:String}]), if(JSONType(data, {p13:String}, {p14:String}) != 'Double', JSONExtractRaw(data, {p13:String}, {p14:String}), '')), '')) != ''))], countIf(type = {p0:String}
    AND multiIf(JSONHas(data, {p12:String}), multiIf(JSONType(data, {p12:String}) = 'String', JSONExtractString(data, {p12:String}), JSONType(data, {p12:String}) = 'Bool', JSONExtractRaw(data, {p12:String}), JSONType(data, {p12:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p12:String}), toString(numbers[{p12:String}]), ''), ''), multiIf(JSONType(data, {p13:String}, {p14:String}) = 'String', JSONExtractString(data, {p13:String}, {p14:String}), JSONType(data, {p13:String}, {p14:String}) = 'Bool', JSONExtractRaw(data, {p13:String}, {p14:String}), JSONType(data, {p13:String}, {p14:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p12:String}), toString(numbers[{p12:String}]), if(JSONType(data, {p13:String}, {p14:String}) != 'Double', JSONExtractRaw(data, {p13:String}, {p14:String}), '')), '')) != '')
FROM events
WHERE namespace = {p2:String}
AND organization = {p3:String}
AND commit <= {p4:UInt64}
AND (commit, position) NOT IN (
    SELECT toUInt64(toString(numbers['commit'])), toUInt32(toString(numbers['position']))
    FROM events
    WHERE namespace = {p2:String}
    AND organization = {p3:String}
    AND type IN ('meterhouse.void', 'meterhouse.restore')
    AND commit <= {p4:UInt64}
    GROUP BY 1, 2
    HAVING argMax(type, (commit, position)) = 'meterhouse.void')
AND commit <= {p5:UInt64}
AND (time >= fromUnixTimestamp64Micro({p6:Int64}, 'UTC')
    AND time < fromUnixTimestamp64Micro({p7:Int64}, 'UTC'))
AND multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') IN {p9:Array(String)}
AND type IN ({p0:String}, {p1:String})
AND time >= fromUnixTimestamp64Micro({p6:Int64}, 'UTC')
AND time < fromUnixTimestamp64Micro({p7:Int64}, 'UTC')
GROUP BY window
LIMIT {p15:UInt64}

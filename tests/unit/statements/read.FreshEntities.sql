-- p0 = 'ns'
-- p1 = 'acme'
-- p2 = 9
-- p3 = 7
-- p4 = 1772323200000000
-- p5 = 1772366400000000
-- p6 = 'job'
-- p7 = 'state'
-- p8 = 'queue'
SELECT entity, max(latest), min(created), max(s0)
FROM (
    SELECT multiIf(JSONType(data, {p6:String}) = 'String', JSONExtractString(data, {p6:String}), JSONType(data, {p6:String}) = 'Bool', JSONExtractRaw(data, {p6:String}), JSONType(data, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), ''), '') AS entity, (toInt64(-2208988800000001), toUInt64(0), toUInt32(0), '') AS latest, toInt64(9223372036854775807) AS created, (toInt64(-2208988800000001), toUInt64(0), toUInt32(0), '') AS s0
    FROM events
    WHERE namespace = {p0:String}
    AND organization = {p1:String}
    AND commit <= {p2:UInt64}
    AND commit <= {p3:UInt64}
    AND (time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p5:Int64}, 'UTC'))
    AND type = {p6:String}
    AND multiIf(JSONType(data, {p6:String}) = 'String', JSONExtractString(data, {p6:String}), JSONType(data, {p6:String}) = 'Bool', JSONExtractRaw(data, {p6:String}), JSONType(data, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), ''), '') != ''
    AND multiIf(JSONType(data, {p7:String}) = 'String', JSONExtractString(data, {p7:String}), JSONType(data, {p7:String}) = 'Bool', JSONExtractRaw(data, {p7:String}), JSONType(data, {p7:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p7:String}), toString(numbers[{p7:String}]), ''), '') != ''
    GROUP BY entity
    UNION ALL
    SELECT multiIf(JSONType(data, {p6:String}) = 'String', JSONExtractString(data, {p6:String}), JSONType(data, {p6:String}) = 'Bool', JSONExtractRaw(data, {p6:String}), JSONType(data, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), ''), '') AS entity, max((toUnixTimestamp64Micro(time), commit, position, multiIf(JSONType(data, {p7:String}) = 'String', JSONExtractString(data, {p7:String}), JSONType(data, {p7:String}) = 'Bool', JSONExtractRaw(data, {p7:String}), JSONType(data, {p7:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p7:String}), toString(numbers[{p7:String}]), ''), ''))) AS latest, min(toUnixTimestamp64Micro(time)) AS created, max(if(multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') != '', (toUnixTimestamp64Micro(time), commit, position, multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '')), (toInt64(-2208988800000001), toUInt64(0), toUInt32(0), ''))) AS s0
    FROM events
    WHERE namespace = {p0:String}
    AND organization = {p1:String}
    AND commit <= {p2:UInt64}
    AND commit > {p3:UInt64}
    AND type = {p6:String}
    AND multiIf(JSONType(data, {p6:String}) = 'String', JSONExtractString(data, {p6:String}), JSONType(data, {p6:String}) = 'Bool', JSONExtractRaw(data, {p6:String}), JSONType(data, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), ''), '') != ''
    AND multiIf(JSONType(data, {p7:String}) = 'String', JSONExtractString(data, {p7:String}), JSONType(data, {p7:String}) = 'Bool', JSONExtractRaw(data, {p7:String}), JSONType(data, {p7:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p7:String}), toString(numbers[{p7:String}]), ''), '') != ''
    GROUP BY entity)
GROUP BY entity

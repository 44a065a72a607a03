-- p0 = [1772323200000000, 1772366400000000]
-- p1 = 'ns'
-- p2 = 'acme'
-- p3 = 9
-- p4 = 'job'
-- p5 = 'state'
-- p6 = 1772323200000000
-- p7 = 'queue'
SELECT roundDown(latest.1, {p0:Array(Int64)}) AS window, s0.4 AS g0, latest.4 AS state, count()
FROM (
    SELECT organization, multiIf(JSONType(data, {p4:String}) = 'String', JSONExtractString(data, {p4:String}), JSONType(data, {p4:String}) = 'Bool', JSONExtractRaw(data, {p4:String}), JSONType(data, {p4:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p4:String}), toString(numbers[{p4:String}]), ''), '') AS entity, max((toUnixTimestamp64Micro(time), commit, position, multiIf(JSONType(data, {p5:String}) = 'String', JSONExtractString(data, {p5:String}), JSONType(data, {p5:String}) = 'Bool', JSONExtractRaw(data, {p5:String}), JSONType(data, {p5:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p5:String}), toString(numbers[{p5:String}]), ''), ''))) AS latest, min(toUnixTimestamp64Micro(time)) AS created, max(if(multiIf(JSONType(data, {p7:String}) = 'String', JSONExtractString(data, {p7:String}), JSONType(data, {p7:String}) = 'Bool', JSONExtractRaw(data, {p7:String}), JSONType(data, {p7:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p7:String}), toString(numbers[{p7:String}]), ''), '') != '', (toUnixTimestamp64Micro(time), commit, position, multiIf(JSONType(data, {p7:String}) = 'String', JSONExtractString(data, {p7:String}), JSONType(data, {p7:String}) = 'Bool', JSONExtractRaw(data, {p7:String}), JSONType(data, {p7:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p7:String}), toString(numbers[{p7:String}]), ''), '')), (toInt64(-2208988800000001), toUInt64(0), toUInt32(0), ''))) AS s0
    FROM events
    WHERE namespace = {p1:String}
    AND organization = {p2:String}
    AND commit <= {p3:UInt64}
    AND (commit, position) NOT IN (
        SELECT toUInt64(toString(numbers['commit'])), toUInt32(toString(numbers['position']))
        FROM events
        WHERE namespace = {p1:String}
        AND organization = {p2:String}
        AND type IN ('meterhouse.void', 'meterhouse.restore')
        AND commit <= {p3:UInt64}
        GROUP BY 1, 2
        HAVING argMax(type, (commit, position)) = 'meterhouse.void')
    AND type = {p4:String}
    AND multiIf(JSONType(data, {p4:String}) = 'String', JSONExtractString(data, {p4:String}), JSONType(data, {p4:String}) = 'Bool', JSONExtractRaw(data, {p4:String}), JSONType(data, {p4:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p4:String}), toString(numbers[{p4:String}]), ''), '') != ''
    AND multiIf(JSONType(data, {p5:String}) = 'String', JSONExtractString(data, {p5:String}), JSONType(data, {p5:String}) = 'Bool', JSONExtractRaw(data, {p5:String}), JSONType(data, {p5:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p5:String}), toString(numbers[{p5:String}]), ''), '') != ''
    GROUP BY organization, entity)
WHERE latest.1 >= {p6:Int64}
GROUP BY window, g0, state

-- p0 = 'queue'
-- p1 = 'job'
-- p2 = 'state'
-- p3 = 'ns'
-- p4 = 3
-- p5 = 7
-- p6 = 4267151435622835425
INSERT INTO fresh_entities
SELECT {p6:UInt64}, organization, entity, latest, created, s0
FROM (
    SELECT organization, multiIf(JSONType(data, {p1:String}) = 'String', JSONExtractString(data, {p1:String}), JSONType(data, {p1:String}) = 'Bool', JSONExtractRaw(data, {p1:String}), JSONType(data, {p1:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p1:String}), toString(numbers[{p1:String}]), ''), '') AS entity, max((toUnixTimestamp64Micro(time), commit, position, multiIf(JSONType(data, {p2:String}) = 'String', JSONExtractString(data, {p2:String}), JSONType(data, {p2:String}) = 'Bool', JSONExtractRaw(data, {p2:String}), JSONType(data, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p2:String}), toString(numbers[{p2:String}]), ''), ''))) AS latest, min(toUnixTimestamp64Micro(time)) AS created, max(if(multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), '') != '', (toUnixTimestamp64Micro(time), commit, position, multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), '')), (toInt64(-2208988800000001), toUInt64(0), toUInt32(0), ''))) AS s0
    FROM events
    WHERE namespace = {p3:String}
    AND type = {p1:String}
    AND commit > {p4:UInt64}
    AND commit <= {p5:UInt64}
    AND type = {p1:String}
    AND multiIf(JSONType(data, {p1:String}) = 'String', JSONExtractString(data, {p1:String}), JSONType(data, {p1:String}) = 'Bool', JSONExtractRaw(data, {p1:String}), JSONType(data, {p1:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p1:String}), toString(numbers[{p1:String}]), ''), '') != ''
    AND multiIf(JSONType(data, {p2:String}) = 'String', JSONExtractString(data, {p2:String}), JSONType(data, {p2:String}) = 'Bool', JSONExtractRaw(data, {p2:String}), JSONType(data, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p2:String}), toString(numbers[{p2:String}]), ''), '') != ''
    GROUP BY organization, entity)

-- p0 = 'ns'
-- p1 = 'acme'
-- p2 = 9
-- p3 = 'job'
-- p4 = 'state'
SELECT 0 AS window, latest.4 AS state, count()
FROM (
    SELECT organization, multiIf(JSONType(data, {p3:String}) = 'String', JSONExtractString(data, {p3:String}), JSONType(data, {p3:String}) = 'Bool', JSONExtractRaw(data, {p3:String}), JSONType(data, {p3:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p3:String}), toString(numbers[{p3:String}]), ''), '') AS entity, max((toUnixTimestamp64Micro(time), commit, position, multiIf(JSONType(data, {p4:String}) = 'String', JSONExtractString(data, {p4:String}), JSONType(data, {p4:String}) = 'Bool', JSONExtractRaw(data, {p4:String}), JSONType(data, {p4:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p4:String}), toString(numbers[{p4:String}]), ''), ''))) AS latest, min(toUnixTimestamp64Micro(time)) AS created
    FROM events
    WHERE namespace = {p0:String}
    AND organization = {p1:String}
    AND commit <= {p2:UInt64}
    AND type = {p3:String}
    AND multiIf(JSONType(data, {p3:String}) = 'String', JSONExtractString(data, {p3:String}), JSONType(data, {p3:String}) = 'Bool', JSONExtractRaw(data, {p3:String}), JSONType(data, {p3:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p3:String}), toString(numbers[{p3:String}]), ''), '') != ''
    AND multiIf(JSONType(data, {p4:String}) = 'String', JSONExtractString(data, {p4:String}), JSONType(data, {p4:String}) = 'Bool', JSONExtractRaw(data, {p4:String}), JSONType(data, {p4:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p4:String}), toString(numbers[{p4:String}]), ''), '') != ''
    GROUP BY organization, entity)
WHERE 1
GROUP BY window, state

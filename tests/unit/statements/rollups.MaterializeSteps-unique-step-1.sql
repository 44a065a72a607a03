-- p0 = 'user.id'
-- p1 = 'user'
-- p2 = 'id'
-- p3 = 'ns'
-- p4 = 'call'
-- p5 = 3
-- p6 = 7
-- p7 = 9145200621667386325
INSERT INTO fresh_values
SELECT {p7:UInt64}, organization, multiIf(JSONHas(data, {p0:String}), multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), ''), multiIf(JSONType(data, {p1:String}, {p2:String}) = 'String', JSONExtractString(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) = 'Bool', JSONExtractRaw(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), if(JSONType(data, {p1:String}, {p2:String}) != 'Double', JSONExtractRaw(data, {p1:String}, {p2:String}), '')), '')) AS value, groupUniqArray(toUInt32(intDiv(toUnixTimestamp64Micro(time) - -2208988800000000, 900000000)))
FROM events
WHERE namespace = {p3:String}
AND type = {p4:String}
AND commit > {p5:UInt64}
AND commit <= {p6:UInt64}
AND multiIf(JSONHas(data, {p0:String}), multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), ''), multiIf(JSONType(data, {p1:String}, {p2:String}) = 'String', JSONExtractString(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) = 'Bool', JSONExtractRaw(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), if(JSONType(data, {p1:String}, {p2:String}) != 'Double', JSONExtractRaw(data, {p1:String}, {p2:String}), '')), '')) != ''
GROUP BY organization, value

-- p0 = 'u1'
-- p1 = 'ns'
-- p2 = 'acme'
-- p3 = 9
-- p4 = 'data.user.id'
-- p5 = 'data'
-- p6 = 'user.id'
-- p7 = 'user'
-- p8 = 'id'
-- p9 = 100
SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data, commit, position, toUnixTimestamp64Micro(stored_at)
FROM events
WHERE namespace = {p1:String}
AND organization = {p2:String}
AND commit <= {p3:UInt64}
AND if(type = 'meterhouse.conflict', multiIf(JSONHas(data, {p4:String}), multiIf(JSONType(data, {p4:String}) = 'String', JSONExtractString(data, {p4:String}), JSONType(data, {p4:String}) = 'Bool', JSONExtractRaw(data, {p4:String}), JSONType(data, {p4:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p4:String}), toString(numbers[{p4:String}]), ''), ''), JSONHas(data, {p5:String}, {p6:String}), multiIf(JSONType(data, {p5:String}, {p6:String}) = 'String', JSONExtractString(data, {p5:String}, {p6:String}), JSONType(data, {p5:String}, {p6:String}) = 'Bool', JSONExtractRaw(data, {p5:String}, {p6:String}), JSONType(data, {p5:String}, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p4:String}), toString(numbers[{p4:String}]), if(JSONType(data, {p5:String}, {p6:String}) != 'Double', JSONExtractRaw(data, {p5:String}, {p6:String}), '')), ''), multiIf(JSONType(data, {p5:String}, {p7:String}, {p8:String}) = 'String', JSONExtractString(data, {p5:String}, {p7:String}, {p8:String}), JSONType(data, {p5:String}, {p7:String}, {p8:String}) = 'Bool', JSONExtractRaw(data, {p5:String}, {p7:String}, {p8:String}), JSONType(data, {p5:String}, {p7:String}, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p4:String}), toString(numbers[{p4:String}]), if(JSONType(data, {p5:String}, {p7:String}, {p8:String}) != 'Double', JSONExtractRaw(data, {p5:String}, {p7:String}, {p8:String}), '')), '')), multiIf(JSONHas(data, {p6:String}), multiIf(JSONType(data, {p6:String}) = 'String', JSONExtractString(data, {p6:String}), JSONType(data, {p6:String}) = 'Bool', JSONExtractRaw(data, {p6:String}), JSONType(data, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), ''), ''), multiIf(JSONType(data, {p7:String}, {p8:String}) = 'String', JSONExtractString(data, {p7:String}, {p8:String}), JSONType(data, {p7:String}, {p8:String}) = 'Bool', JSONExtractRaw(data, {p7:String}, {p8:String}), JSONType(data, {p7:String}, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), if(JSONType(data, {p7:String}, {p8:String}) != 'Double', JSONExtractRaw(data, {p7:String}, {p8:String}), '')), ''))) = {p0:String}
AND (type = 'meterhouse.conflict' OR NOT startsWith(type, 'meterhouse.'))
LIMIT {p9:UInt64}

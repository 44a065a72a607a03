-- p0 = 'user.id'
-- p1 = 'user'
-- p2 = 'id'
-- p3 = 'call'
-- p4 = 1772323200000000
-- p5 = 1772366400000000
-- p6 = 'model'
-- p7 = 'region'
-- p8 = 'ns'
-- p9 = 'acme'
-- p10 = 9
-- p11 = ('a',)
-- p12 = ('b',)
-- p13 = 10
SELECT g0, g1, values, groups
FROM (
    SELECT g0, g1, uniqExact(value) AS values, count() OVER () AS groups
    FROM (
        SELECT 0 AS window, multiIf(JSONType(data, {p6:String}) = 'String', JSONExtractString(data, {p6:String}), JSONType(data, {p6:String}) = 'Bool', JSONExtractRaw(data, {p6:String}), JSONType(data, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), ''), '') AS g0, multiIf(JSONType(data, {p7:String}) = 'String', JSONExtractString(data, {p7:String}), JSONType(data, {p7:String}) = 'Bool', JSONExtractRaw(data, {p7:String}), JSONType(data, {p7:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p7:String}), toString(numbers[{p7:String}]), ''), '') AS g1, multiIf(JSONHas(data, {p0:String}), multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), ''), multiIf(JSONType(data, {p1:String}, {p2:String}) = 'String', JSONExtractString(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) = 'Bool', JSONExtractRaw(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), if(JSONType(data, {p1:String}, {p2:String}) != 'Double', JSONExtractRaw(data, {p1:String}, {p2:String}), '')), '')) AS value
        FROM events
        WHERE namespace = {p8:String}
        AND organization = {p9:String}
        AND commit <= {p10:UInt64}
        AND type = {p3:String}
        AND time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p5:Int64}, 'UTC')
        AND (multiIf(JSONType(data, {p6:String}) = 'String', JSONExtractString(data, {p6:String}), JSONType(data, {p6:String}) = 'Bool', JSONExtractRaw(data, {p6:String}), JSONType(data, {p6:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p6:String}), toString(numbers[{p6:String}]), ''), ''), multiIf(JSONType(data, {p7:String}) = 'String', JSONExtractString(data, {p7:String}), JSONType(data, {p7:String}) = 'Bool', JSONExtractRaw(data, {p7:String}), JSONType(data, {p7:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p7:String}), toString(numbers[{p7:String}]), ''), '')) NOT IN arrayZip({p11:Array(String)}, {p12:Array(String)})
        AND value != '')
    GROUP BY g0, g1
    ORDER BY values DESC, g0, g1
    LIMIT {p13:UInt64})

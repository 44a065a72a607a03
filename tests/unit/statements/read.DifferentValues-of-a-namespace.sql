-- p0 = [9145200621667386325]
-- p1 = ['acme', 'emca']
-- p2 = [70003, 70090]
-- p3 = 70000
-- p4 = 70010
-- p5 = 70080
-- p6 = 70176
-- p7 = [1772323200000000, 1772366400000000]
-- p8 = [69984, 70080]
-- p9 = 'user.id'
-- p10 = 'user'
-- p11 = 'id'
-- p12 = 'call'
-- p13 = 1772323200000000
-- p14 = 'ns'
-- p15 = 9
-- p16 = 7
-- p17 = 202
SELECT window, g0, groupUniqArray(value)
FROM (
    SELECT roundDown((toInt64(toUInt32(first)) * 900000000 + -2208988800000000), {p7:Array(Int64)}) AS window, organization AS g0, key AS value
    FROM rollups
    WHERE series IN {p0:Array(UInt64)}
    AND organization != ''
    AND width = 0
    AND ((toUInt32(first) >= {p3:UInt32}
            AND toUInt32(first) < {p4:UInt32}) OR (toUInt32(first) >= {p5:UInt32}
            AND toUInt32(first) < {p6:UInt32}))
    AND (organization, toUInt32(first)) NOT IN arrayZip({p1:Array(String)}, {p2:Array(UInt32)})
    UNION ALL
    SELECT roundDown((toInt64(slot) * 900000000 + -2208988800000000), {p7:Array(Int64)}) AS window, organization AS g0, key AS value
    FROM rollups
    WHERE series IN {p0:Array(UInt64)}
    AND organization != ''
    AND key != ''
    AND ((width = 1
            AND (organization, slot) NOT IN arrayZip({p1:Array(String)}, {p2:Array(UInt32)})
            AND slot >= {p3:UInt32}
            AND slot < {p4:UInt32}) OR (width = 96
            AND slot >= {p5:UInt32}
            AND slot < {p6:UInt32}
            AND (organization, slot) NOT IN arrayZip({p1:Array(String)}, {p8:Array(UInt32)})) OR (width = 1
            AND (organization, slot) NOT IN arrayZip({p1:Array(String)}, {p2:Array(UInt32)})
            AND slot >= {p5:UInt32}
            AND slot < {p6:UInt32}
            AND (organization, toUInt32(slot - slot % 96)) IN arrayZip({p1:Array(String)}, {p8:Array(UInt32)})))
    UNION ALL
    SELECT roundDown(toUnixTimestamp64Micro(time), {p7:Array(Int64)}) AS window, organization AS g0, multiIf(JSONHas(data, {p9:String}), multiIf(JSONType(data, {p9:String}) = 'String', JSONExtractString(data, {p9:String}), JSONType(data, {p9:String}) = 'Bool', JSONExtractRaw(data, {p9:String}), JSONType(data, {p9:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p9:String}), toString(numbers[{p9:String}]), ''), ''), multiIf(JSONType(data, {p10:String}, {p11:String}) = 'String', JSONExtractString(data, {p10:String}, {p11:String}), JSONType(data, {p10:String}, {p11:String}) = 'Bool', JSONExtractRaw(data, {p10:String}, {p11:String}), JSONType(data, {p10:String}, {p11:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p9:String}), toString(numbers[{p9:String}]), if(JSONType(data, {p10:String}, {p11:String}) != 'Double', JSONExtractRaw(data, {p10:String}, {p11:String}), '')), '')) AS value
    FROM events
    WHERE namespace = {p14:String}
    AND commit <= {p15:UInt64}
    AND commit > {p16:UInt64}
    AND type = {p12:String}
    AND time >= fromUnixTimestamp64Micro({p13:Int64}, 'UTC')
    AND value != '')
GROUP BY window, g0
LIMIT {p17:UInt64}

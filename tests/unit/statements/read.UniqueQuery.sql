-- p0 = 'user.id'
-- p1 = 'user'
-- p2 = 'id'
-- p3 = 'call'
-- p4 = 1772323200000000
-- p5 = [1772323200000000, 1772366400000000]
-- p6 = [9145200621667386325]
-- p7 = 'acme'
-- p8 = 70000
-- p9 = 70010
-- p10 = 70080
-- p11 = 70176
-- p12 = 'ns'
-- p13 = 9
-- p14 = 7
-- p15 = 1772366400000000
SELECT window, sum(events) + uniqExactIf(value, value != '')
FROM (
    SELECT roundDown((toInt64(slot) * 900000000 + -2208988800000000), {p5:Array(Int64)}) AS window, key AS value, events
    FROM rollups
    WHERE series IN {p6:Array(UInt64)}
    AND organization = {p7:String}
    AND ((width = 1
            AND slot >= {p8:UInt32}
            AND slot < {p9:UInt32}) OR (width = 96
            AND slot >= {p10:UInt32}
            AND slot < {p11:UInt32}))
    UNION ALL
    SELECT window, value, 0 AS events
    FROM (
        SELECT roundDown(toUnixTimestamp64Micro(time), {p5:Array(Int64)}) AS window, multiIf(JSONHas(data, {p0:String}), multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), ''), multiIf(JSONType(data, {p1:String}, {p2:String}) = 'String', JSONExtractString(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) = 'Bool', JSONExtractRaw(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), if(JSONType(data, {p1:String}, {p2:String}) != 'Double', JSONExtractRaw(data, {p1:String}, {p2:String}), '')), '')) AS value
        FROM events
        WHERE namespace = {p12:String}
        AND organization = {p7:String}
        AND commit <= {p13:UInt64}
        AND commit <= {p14:UInt64}
        AND (time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Micro({p15:Int64}, 'UTC'))
        AND type = {p3:String}
        AND time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
        AND value != '')
    UNION ALL
    SELECT window, value, 0 AS events
    FROM (
        SELECT roundDown(toUnixTimestamp64Micro(time), {p5:Array(Int64)}) AS window, multiIf(JSONHas(data, {p0:String}), multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), ''), multiIf(JSONType(data, {p1:String}, {p2:String}) = 'String', JSONExtractString(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) = 'Bool', JSONExtractRaw(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), if(JSONType(data, {p1:String}, {p2:String}) != 'Double', JSONExtractRaw(data, {p1:String}, {p2:String}), '')), '')) AS value
        FROM events
        WHERE namespace = {p12:String}
        AND organization = {p7:String}
        AND commit <= {p13:UInt64}
        AND commit > {p14:UInt64}
        AND type = {p3:String}
        AND time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
        AND value != '')
    WHERE (window, value) NOT IN (
        SELECT roundDown((toInt64(place) * 900000000 + -2208988800000000), {p5:Array(Int64)}) AS window, key
        FROM (
            SELECT key, min(first) AS place, max(last) AS other
            FROM rollups
            WHERE series IN {p6:Array(UInt64)}
            AND organization = {p7:String}
            AND width = 0
            AND key IN (
                SELECT value
                FROM (
                    SELECT roundDown(toUnixTimestamp64Micro(time), {p5:Array(Int64)}) AS window, multiIf(JSONHas(data, {p0:String}), multiIf(JSONType(data, {p0:String}) = 'String', JSONExtractString(data, {p0:String}), JSONType(data, {p0:String}) = 'Bool', JSONExtractRaw(data, {p0:String}), JSONType(data, {p0:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), ''), ''), multiIf(JSONType(data, {p1:String}, {p2:String}) = 'String', JSONExtractString(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) = 'Bool', JSONExtractRaw(data, {p1:String}, {p2:String}), JSONType(data, {p1:String}, {p2:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p0:String}), toString(numbers[{p0:String}]), if(JSONType(data, {p1:String}, {p2:String}) != 'Double', JSONExtractRaw(data, {p1:String}, {p2:String}), '')), '')) AS value
                    FROM events
                    WHERE namespace = {p12:String}
                    AND organization = {p7:String}
                    AND commit <= {p13:UInt64}
                    AND commit > {p14:UInt64}
                    AND type = {p3:String}
                    AND time >= fromUnixTimestamp64Micro({p4:Int64}, 'UTC')
                    AND value != ''))
            GROUP BY key)
        WHERE place = other
        AND ((place >= {p8:UInt32}
                AND place < {p9:UInt32}) OR (place >= {p10:UInt32}
                AND place < {p11:UInt32}))))
GROUP BY window

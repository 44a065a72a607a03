-- p0 = [372784152082199230]
-- p1 = 'acme'
-- p2 = 70000
-- p3 = 70010
-- p4 = 70080
-- p5 = 70176
-- p6 = [700334026390412302]
-- p7 = [4043142020541822706]
-- p8 = 'model'
-- p9 = 'ns'
-- p10 = 9
-- p11 = 7
-- p12 = 1772323200000000
-- p13 = 1772366400000000
-- p14 = 'call'
-- p15 = 'input'
-- p16 = 'output'
-- p17 = ''
-- p18 = 10
SELECT g0, toString(m0), toString(m1), groups
FROM (
    SELECT g0, sumIf(value, meter = 0) AS m0, sumIf(events, meter = 1) AS m1, count() OVER () AS groups
    FROM (
        SELECT key AS g0, 0 AS meter, total AS value, events
        FROM rollups
        WHERE series IN {p0:Array(UInt64)}
        AND organization = {p1:String}
        AND ((width = 1
                AND slot >= {p2:UInt32}
                AND slot < {p3:UInt32}) OR (width = 96
                AND slot >= {p4:UInt32}
                AND slot < {p5:UInt32}))
        UNION ALL
        SELECT key AS g0, 0 AS meter, total AS value, events
        FROM rollups
        WHERE series IN {p6:Array(UInt64)}
        AND organization = {p1:String}
        AND ((width = 1
                AND slot >= {p2:UInt32}
                AND slot < {p3:UInt32}) OR (width = 96
                AND slot >= {p4:UInt32}
                AND slot < {p5:UInt32}))
        UNION ALL
        SELECT key AS g0, 1 AS meter, total AS value, events
        FROM rollups
        WHERE series IN {p7:Array(UInt64)}
        AND organization = {p1:String}
        AND ((width = 1
                AND slot >= {p2:UInt32}
                AND slot < {p3:UInt32}) OR (width = 96
                AND slot >= {p4:UInt32}
                AND slot < {p5:UInt32}))
        UNION ALL
        SELECT multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') AS g0, 0 AS meter, numbers[{p15:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p9:String}
        AND organization = {p1:String}
        AND commit <= {p10:UInt64}
        AND commit <= {p11:UInt64}
        AND (time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC'))
        AND type = {p14:String}
        AND time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC')
        AND mapContains(numbers, {p15:String})
        AND mapContains(numbers, {p16:String})
        UNION ALL
        SELECT multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') AS g0, 0 AS meter, numbers[{p16:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p9:String}
        AND organization = {p1:String}
        AND commit <= {p10:UInt64}
        AND commit <= {p11:UInt64}
        AND (time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC'))
        AND type = {p14:String}
        AND time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC')
        AND mapContains(numbers, {p15:String})
        AND mapContains(numbers, {p16:String})
        UNION ALL
        SELECT multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') AS g0, 1 AS meter, numbers[{p17:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p9:String}
        AND organization = {p1:String}
        AND commit <= {p10:UInt64}
        AND commit <= {p11:UInt64}
        AND (time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC'))
        AND type = {p14:String}
        AND time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC')
        UNION ALL
        SELECT multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') AS g0, 0 AS meter, numbers[{p15:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p9:String}
        AND organization = {p1:String}
        AND commit <= {p10:UInt64}
        AND commit > {p11:UInt64}
        AND type = {p14:String}
        AND time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC')
        AND mapContains(numbers, {p15:String})
        AND mapContains(numbers, {p16:String})
        UNION ALL
        SELECT multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') AS g0, 0 AS meter, numbers[{p16:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p9:String}
        AND organization = {p1:String}
        AND commit <= {p10:UInt64}
        AND commit > {p11:UInt64}
        AND type = {p14:String}
        AND time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC')
        AND mapContains(numbers, {p15:String})
        AND mapContains(numbers, {p16:String})
        UNION ALL
        SELECT multiIf(JSONType(data, {p8:String}) = 'String', JSONExtractString(data, {p8:String}), JSONType(data, {p8:String}) = 'Bool', JSONExtractRaw(data, {p8:String}), JSONType(data, {p8:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p8:String}), toString(numbers[{p8:String}]), ''), '') AS g0, 1 AS meter, numbers[{p17:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p9:String}
        AND organization = {p1:String}
        AND commit <= {p10:UInt64}
        AND commit > {p11:UInt64}
        AND type = {p14:String}
        AND time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC'))
    GROUP BY g0
    HAVING sum(events) > 0
    ORDER BY m0 DESC, m1 DESC, g0
    LIMIT {p18:UInt64})

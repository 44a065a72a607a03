-- p0 = [372784152082199230]
-- p1 = 'acme'
-- p2 = 70000
-- p3 = 70010
-- p4 = 70080
-- p5 = 70176
-- p6 = [700334026390412302]
-- p7 = [4043142020541822706]
-- p8 = 'ns'
-- p9 = 9
-- p10 = 7
-- p11 = 1772323200000000
-- p12 = 1772366400000000
-- p13 = 'call'
-- p14 = 'input'
-- p15 = 'output'
-- p16 = 'model'
-- p17 = ''
-- p18 = 10
SELECT text, toString(m0), toString(m1)
FROM (
    SELECT text, sumIf(value, meter = 0) AS m0, sumIf(events, meter = 1) AS m1
    FROM (
        SELECT key AS text, 0 AS meter, total AS value, events
        FROM rollups
        WHERE series IN {p0:Array(UInt64)}
        AND organization = {p1:String}
        AND ((width = 1
                AND slot >= {p2:UInt32}
                AND slot < {p3:UInt32}) OR (width = 96
                AND slot >= {p4:UInt32}
                AND slot < {p5:UInt32}))
        UNION ALL
        SELECT key AS text, 0 AS meter, total AS value, events
        FROM rollups
        WHERE series IN {p6:Array(UInt64)}
        AND organization = {p1:String}
        AND ((width = 1
                AND slot >= {p2:UInt32}
                AND slot < {p3:UInt32}) OR (width = 96
                AND slot >= {p4:UInt32}
                AND slot < {p5:UInt32}))
        UNION ALL
        SELECT key AS text, 1 AS meter, total AS value, events
        FROM rollups
        WHERE series IN {p7:Array(UInt64)}
        AND organization = {p1:String}
        AND ((width = 1
                AND slot >= {p2:UInt32}
                AND slot < {p3:UInt32}) OR (width = 96
                AND slot >= {p4:UInt32}
                AND slot < {p5:UInt32}))
        UNION ALL
        SELECT multiIf(JSONType(data, {p16:String}) = 'String', JSONExtractString(data, {p16:String}), JSONType(data, {p16:String}) = 'Bool', JSONExtractRaw(data, {p16:String}), JSONType(data, {p16:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p16:String}), toString(numbers[{p16:String}]), ''), '') AS text, 0 AS meter, numbers[{p14:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p8:String}
        AND organization = {p1:String}
        AND commit <= {p9:UInt64}
        AND commit <= {p10:UInt64}
        AND (time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC'))
        AND type = {p13:String}
        AND time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND mapContains(numbers, {p14:String})
        AND mapContains(numbers, {p15:String})
        UNION ALL
        SELECT multiIf(JSONType(data, {p16:String}) = 'String', JSONExtractString(data, {p16:String}), JSONType(data, {p16:String}) = 'Bool', JSONExtractRaw(data, {p16:String}), JSONType(data, {p16:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p16:String}), toString(numbers[{p16:String}]), ''), '') AS text, 0 AS meter, numbers[{p15:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p8:String}
        AND organization = {p1:String}
        AND commit <= {p9:UInt64}
        AND commit <= {p10:UInt64}
        AND (time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC'))
        AND type = {p13:String}
        AND time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND mapContains(numbers, {p14:String})
        AND mapContains(numbers, {p15:String})
        UNION ALL
        SELECT multiIf(JSONType(data, {p16:String}) = 'String', JSONExtractString(data, {p16:String}), JSONType(data, {p16:String}) = 'Bool', JSONExtractRaw(data, {p16:String}), JSONType(data, {p16:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p16:String}), toString(numbers[{p16:String}]), ''), '') AS text, 1 AS meter, numbers[{p17:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p8:String}
        AND organization = {p1:String}
        AND commit <= {p9:UInt64}
        AND commit <= {p10:UInt64}
        AND (time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
            AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC'))
        AND type = {p13:String}
        AND time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        UNION ALL
        SELECT multiIf(JSONType(data, {p16:String}) = 'String', JSONExtractString(data, {p16:String}), JSONType(data, {p16:String}) = 'Bool', JSONExtractRaw(data, {p16:String}), JSONType(data, {p16:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p16:String}), toString(numbers[{p16:String}]), ''), '') AS text, 0 AS meter, numbers[{p14:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p8:String}
        AND organization = {p1:String}
        AND commit <= {p9:UInt64}
        AND commit > {p10:UInt64}
        AND type = {p13:String}
        AND time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND mapContains(numbers, {p14:String})
        AND mapContains(numbers, {p15:String})
        UNION ALL
        SELECT multiIf(JSONType(data, {p16:String}) = 'String', JSONExtractString(data, {p16:String}), JSONType(data, {p16:String}) = 'Bool', JSONExtractRaw(data, {p16:String}), JSONType(data, {p16:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p16:String}), toString(numbers[{p16:String}]), ''), '') AS text, 0 AS meter, numbers[{p15:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p8:String}
        AND organization = {p1:String}
        AND commit <= {p9:UInt64}
        AND commit > {p10:UInt64}
        AND type = {p13:String}
        AND time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND mapContains(numbers, {p14:String})
        AND mapContains(numbers, {p15:String})
        UNION ALL
        SELECT multiIf(JSONType(data, {p16:String}) = 'String', JSONExtractString(data, {p16:String}), JSONType(data, {p16:String}) = 'Bool', JSONExtractRaw(data, {p16:String}), JSONType(data, {p16:String}) IN ('Int64', 'UInt64', 'Double'), if(mapContains(numbers, {p16:String}), toString(numbers[{p16:String}]), ''), '') AS text, 1 AS meter, numbers[{p17:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p8:String}
        AND organization = {p1:String}
        AND commit <= {p9:UInt64}
        AND commit > {p10:UInt64}
        AND type = {p13:String}
        AND time >= fromUnixTimestamp64Micro({p11:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p12:Int64}, 'UTC'))
    GROUP BY text
    HAVING sum(events) > 0
    ORDER BY m0 DESC, m1 DESC, text
    LIMIT {p18:UInt32})

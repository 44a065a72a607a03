-- p0 = [3648578999564562887]
-- p1 = ['acme', 'emca']
-- p2 = [70003, 70090]
-- p3 = [69984, 70080]
-- p4 = 70000
-- p5 = 70010
-- p6 = 70080
-- p7 = 70176
-- p8 = 'ns'
-- p9 = 9
-- p10 = 7
-- p11 = 'call'
-- p12 = 1772323200000000
-- p13 = 1772366400000000
-- p14 = 'latency_ms'
-- p15 = 10
SELECT g0, toString(m0), groups
FROM (
    SELECT g0, maxIf(value, meter = 0) AS m0, count() OVER () AS groups
    FROM (
        SELECT organization AS g0, 0 AS meter, highest AS value, events
        FROM rollups
        WHERE series IN {p0:Array(UInt64)}
        AND organization != ''
        AND ((width = 1
                AND (organization, slot) NOT IN arrayZip({p1:Array(String)}, {p2:Array(UInt32)})
                AND slot >= {p4:UInt32}
                AND slot < {p5:UInt32}) OR (width = 96
                AND slot >= {p6:UInt32}
                AND slot < {p7:UInt32}
                AND (organization, slot) NOT IN arrayZip({p1:Array(String)}, {p3:Array(UInt32)})) OR (width = 1
                AND (organization, slot) NOT IN arrayZip({p1:Array(String)}, {p2:Array(UInt32)})
                AND slot >= {p6:UInt32}
                AND slot < {p7:UInt32}
                AND (organization, toUInt32(slot - slot % 96)) IN arrayZip({p1:Array(String)}, {p3:Array(UInt32)})))
        UNION ALL
        SELECT organization AS g0, 0 AS meter, numbers[{p14:String}] AS value, toInt64(1) AS events
        FROM events
        WHERE namespace = {p8:String}
        AND commit <= {p9:UInt64}
        AND (commit, position) NOT IN (
            SELECT toUInt64(toString(numbers['commit'])), toUInt32(toString(numbers['position']))
            FROM events
            WHERE namespace = {p8:String}
            AND type IN ('meterhouse.void', 'meterhouse.restore')
            AND commit <= {p9:UInt64}
            GROUP BY 1, 2
            HAVING argMax(type, (commit, position)) = 'meterhouse.void')
        AND commit <= {p10:UInt64}
        AND (organization, toUInt32(intDiv(toUnixTimestamp64Micro(time) - -2208988800000000, 900000000))) IN arrayZip({p1:Array(String)}, {p2:Array(UInt32)})
        AND type = {p11:String}
        AND time >= fromUnixTimestamp64Micro({p12:Int64}, 'UTC')
        AND time < fromUnixTimestamp64Micro({p13:Int64}, 'UTC')
        AND mapContains(numbers, {p14:String}))
    GROUP BY g0
    HAVING sum(events) > 0
    ORDER BY m0 DESC, g0
    LIMIT {p15:UInt64})

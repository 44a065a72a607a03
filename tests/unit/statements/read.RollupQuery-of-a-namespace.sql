-- p0 = [1772323200000000, 1772366400000000]
-- p1 = [372784152082199230, 700334026390412302]
-- p2 = 'acme'
-- p3 = ['acme', 'emca']
-- p4 = [70003, 70090]
-- p5 = [69984, 70080]
-- p6 = 70000
-- p7 = 70010
-- p8 = 70080
-- p9 = 70176
-- p10 = ('a', 'b')
-- p11 = 404
SELECT series, roundDown((toInt64(slot) * 900000000 + -2208988800000000), {p0:Array(Int64)}) AS window, organization, key, sum(events), [toString(sum(total))]
FROM rollups
WHERE series IN {p1:Array(UInt64)}
AND organization = {p2:String}
AND ((width = 1
        AND (organization, slot) NOT IN arrayZip({p3:Array(String)}, {p4:Array(UInt32)})
        AND slot >= {p6:UInt32}
        AND slot < {p7:UInt32}) OR (width = 96
        AND slot >= {p8:UInt32}
        AND slot < {p9:UInt32}
        AND (organization, slot) NOT IN arrayZip({p3:Array(String)}, {p5:Array(UInt32)})) OR (width = 1
        AND (organization, slot) NOT IN arrayZip({p3:Array(String)}, {p4:Array(UInt32)})
        AND slot >= {p8:UInt32}
        AND slot < {p9:UInt32}
        AND (organization, toUInt32(slot - slot % 96)) IN arrayZip({p3:Array(String)}, {p5:Array(UInt32)})))
AND key IN {p10:Array(String)}
GROUP BY series, window, organization, key
LIMIT {p11:UInt64}

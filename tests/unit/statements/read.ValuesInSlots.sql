-- p0 = ['u1']
-- p1 = [1772323200000000, 1772366400000000]
-- p2 = [9145200621667386325]
-- p3 = 'acme'
-- p4 = 70000
-- p5 = 70010
-- p6 = 70080
-- p7 = 70176
SELECT DISTINCT roundDown((toInt64(slot) * 900000000 + -2208988800000000), {p1:Array(Int64)}) AS window, key
FROM rollups
WHERE series IN {p2:Array(UInt64)}
AND organization = {p3:String}
AND ((width = 1
        AND slot >= {p4:UInt32}
        AND slot < {p5:UInt32}) OR (width = 96
        AND slot >= {p6:UInt32}
        AND slot < {p7:UInt32}))
AND key IN {p0:Array(String)}

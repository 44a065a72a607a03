-- p0 = [1772323200000000, 1772366400000000]
-- p1 = [3612059863639408403]
-- p2 = 'acme'
-- p3 = 70000
-- p4 = 70010
-- p5 = 70080
-- p6 = 70176
SELECT roundDown((toInt64(slot) * 900000000 + -2208988800000000), {p0:Array(Int64)}) AS window, key, state, sum(events) AS count
FROM rollups
WHERE series IN {p1:Array(UInt64)}
AND organization = {p2:String}
AND ((width = 1
        AND slot >= {p3:UInt32}
        AND slot < {p4:UInt32}) OR (width = 96
        AND slot >= {p5:UInt32}
        AND slot < {p6:UInt32}))
GROUP BY window, key, state
HAVING count != 0

-- p0 = ['u1', 'u2']
-- p1 = [9145200621667386325]
-- p2 = 'acme'
SELECT key, min(first), max(last)
FROM rollups
WHERE series IN {p1:Array(UInt64)}
AND organization = {p2:String}
AND width = 0
AND key IN {p0:Array(String)}
GROUP BY key

-- p0 = ['j1']
-- p1 = [4267151435622835425]
-- p2 = 'acme'
SELECT key, max(latest), min(first), max(said)
FROM rollups
WHERE series IN {p1:Array(UInt64)}
AND organization = {p2:String}
AND width = 0
AND key IN {p0:Array(String)}
GROUP BY key

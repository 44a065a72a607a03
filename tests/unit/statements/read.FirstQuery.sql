-- p0 = 'acme'
-- p1 = 11651287960510670644
-- p2 = 'ns'
-- p3 = 7
SELECT min(first), count()
FROM (
    SELECT first
    FROM rollups
    WHERE series = {p1:UInt64}
    AND organization = {p0:String}
    UNION ALL
    SELECT toUnixTimestamp64Micro(time)
    FROM events
    WHERE namespace = {p2:String}
    AND organization = {p0:String}
    AND commit > {p3:UInt64}
    AND NOT startsWith(type, 'meterhouse.'))

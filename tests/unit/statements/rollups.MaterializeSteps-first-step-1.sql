-- p0 = 'ns'
-- p1 = [11651287960510670644]
-- p2 = 3
-- p3 = 7
INSERT INTO staged (series, organization, first)
SELECT transform(toString(namespace), [{p0:String}], {p1:Array(UInt64)}, toUInt64(0)) AS series, organization AS organization, min(toUnixTimestamp64Micro(time)) AS first
FROM events
WHERE namespace IN ({p0:String})
AND NOT startsWith(type, 'meterhouse.')
AND commit > {p2:UInt64}
AND commit <= {p3:UInt64}
GROUP BY series, organization

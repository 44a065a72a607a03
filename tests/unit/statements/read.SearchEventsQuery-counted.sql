-- p0 = 'ns'
-- p1 = ('call',)
SELECT count()
FROM events
WHERE namespace = {p0:String}
AND NOT startsWith(type, 'meterhouse.')
AND (type IN {p1:Array(String)})

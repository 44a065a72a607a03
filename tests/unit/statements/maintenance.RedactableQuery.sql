-- p0 = 'ns'
-- p1 = 1772366400000000
-- p2 = '{"meterhouse.reduced":true'
SELECT count()
FROM events
WHERE namespace = {p0:String}
AND time < fromUnixTimestamp64Micro({p1:Int64}, 'UTC')
AND ((NOT startsWith(type, 'meterhouse.')
        AND NOT startsWith(data, {p2:String})) OR (type = 'meterhouse.conflict'
        AND NOT startsWith(JSONExtractRaw(data, 'data'), {p2:String})))

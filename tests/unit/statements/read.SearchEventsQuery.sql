-- p0 = 'ns'
-- p1 = 'a%'
-- p2 = ('acme', 'globex')
-- p3 = 1772323200000000
-- p4 = 1772366400000000
-- p5 = 'acme'
-- p6 = 'gateway'
-- p7 = 'e1'
-- p8 = 50
SELECT namespace, source, id, type, organization, toUnixTimestamp64Micro(time), data, commit, position, toUnixTimestamp64Micro(stored_at)
FROM events
WHERE namespace = {p0:String}
AND NOT startsWith(type, 'meterhouse.')
AND ((id LIKE {p1:String})
    AND NOT (organization IN {p2:Array(String)})
    AND ((stored_at >= fromUnixTimestamp64Micro({p3:Int64}, 'UTC'))))
AND (time, organization, source, id) < (fromUnixTimestamp64Micro({p4:Int64}, 'UTC'), {p5:String}, {p6:String}, {p7:String})
ORDER BY time DESC, organization DESC, source DESC, id DESC
LIMIT {p8:UInt64}

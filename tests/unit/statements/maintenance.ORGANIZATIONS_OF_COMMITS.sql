SELECT DISTINCT namespace, organization
FROM events
WHERE commit > {after:UInt64}
AND commit <= {upto:UInt64}
AND NOT (organization = '*'
    AND type = 'meterhouse.retention')

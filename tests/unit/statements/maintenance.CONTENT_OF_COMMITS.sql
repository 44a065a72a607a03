SELECT countIf(NOT (organization = '*'
        AND type = 'meterhouse.retention')), sumIf(cityHash64(namespace, organization, type, time, source, id, identity, commit, position, stored_at, data, numbers), NOT (organization = '*'
        AND type = 'meterhouse.retention')), countIf((organization = '*'
        AND type = 'meterhouse.retention')), sumIf(cityHash64(namespace, organization, type, time, source, id, identity, commit, position, stored_at, data, numbers), (organization = '*'
        AND type = 'meterhouse.retention'))
FROM events
WHERE commit > {after:UInt64}
AND commit <= {upto:UInt64}

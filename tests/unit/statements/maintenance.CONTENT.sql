SELECT count(), sum(cityHash64(namespace, organization, type, time, source, id, identity, position, stored_at, data)), sumIf(cityHash64(identity, numbers), NOT type IN ('meterhouse.void', 'meterhouse.restore')), sumIf(cityHash64(identity, numbers['time'], numbers['position']), type IN ('meterhouse.void', 'meterhouse.restore'))
FROM events
WHERE NOT (organization = '*'
    AND type = 'meterhouse.retention')

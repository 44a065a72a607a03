SELECT namespace, organization
FROM events
WHERE NOT (organization = '*'
    AND type = 'meterhouse.retention')
GROUP BY namespace, organization
SETTINGS optimize_aggregation_in_order = 1, max_threads = 1

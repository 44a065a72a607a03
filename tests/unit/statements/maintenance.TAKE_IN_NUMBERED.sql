INSERT INTO events (namespace, organization, type, time, source, id, identity, commit, position, stored_at, data, numbers)
SELECT namespace, organization, type, time, source, id, identity, own.number, position, stored_at, data, if( type IN ('meterhouse.void', 'meterhouse.restore'), CAST(map('commit', corrected.units, 'position', numbers['position'], 'time', numbers['time']) AS Map(LowCardinality(String), Decimal(76, 28))), numbers )
FROM (
    SELECT *, if(type IN ('meterhouse.void', 'meterhouse.restore'), toUInt64(toString(numbers['commit'])), 0) AS corrects
    FROM file({file:String}, 'Native', 'namespace LowCardinality(String), organization String, type LowCardinality(String), time DateTime64(6, ''UTC''), source String, id String, identity UInt64, commit UInt64, position UInt32, stored_at DateTime64(6, ''UTC''), data String, numbers Map(LowCardinality(String), Decimal(76, 28))', 'zstd')
    WHERE NOT ((organization = '*'
            AND type = 'meterhouse.retention')
        AND (namespace, source, id) IN (
            SELECT namespace, source, id
            FROM events
            WHERE (organization = '*'
                AND type = 'meterhouse.retention'))) ) AS moved INNER JOIN (
    SELECT commit, number
    FROM file({numbers:String}, 'Native', 'commit UInt64, number UInt64, units Decimal(76, 28)')) AS own ON own.commit = moved.commit
LEFT JOIN (
    SELECT commit, units
    FROM file({again:String}, 'Native', 'commit UInt64, number UInt64, units Decimal(76, 28)')
    WHERE commit IN (
        SELECT toUInt64(toString(numbers['commit']))
        FROM file({corrections:String}, 'Native', 'namespace LowCardinality(String), organization String, type LowCardinality(String), time DateTime64(6, ''UTC''), source String, id String, identity UInt64, commit UInt64, position UInt32, stored_at DateTime64(6, ''UTC''), data String, numbers Map(LowCardinality(String), Decimal(76, 28))', 'zstd')
        WHERE type IN ('meterhouse.void', 'meterhouse.restore')) ) AS corrected ON corrected.commit = moved.corrects
SETTINGS join_algorithm = 'grace_hash', max_bytes_in_join = 200000000, max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = 100000, min_insert_block_size_bytes = 30000000

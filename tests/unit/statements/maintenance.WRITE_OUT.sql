INSERT INTO FUNCTION file({file:String}, 'Native', 'namespace LowCardinality(String), organization String, type LowCardinality(String), time DateTime64(6, ''UTC''), source String, id String, identity UInt64, commit UInt64, position UInt32, stored_at DateTime64(6, ''UTC''), data String, numbers Map(LowCardinality(String), Decimal(76, 28))', 'zstd')
SELECT namespace, organization, type, time, source, id, identity, commit, position, stored_at, data, numbers
FROM events
WHERE (organization = '*'
    AND type = 'meterhouse.retention') OR (namespace, organization) IN (
    SELECT namespace, organization
    FROM file({homes:String}, 'Native', 'namespace String, organization String, shard UInt32')
    WHERE shard = {shard:UInt32} )

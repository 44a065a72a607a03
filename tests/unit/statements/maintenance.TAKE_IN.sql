INSERT INTO events (namespace, organization, type, time, source, id, identity, commit, position, stored_at, data, numbers)
SELECT namespace, organization, type, time, source, id, identity, commit, position, stored_at, data, numbers
FROM file({file:String}, 'Native', 'namespace LowCardinality(String), organization String, type LowCardinality(String), time DateTime64(6, ''UTC''), source String, id String, identity UInt64, commit UInt64, position UInt32, stored_at DateTime64(6, ''UTC''), data String, numbers Map(LowCardinality(String), Decimal(76, 28))', 'zstd')
SETTINGS max_threads = 1, max_insert_threads = 1, min_insert_block_size_rows = 100000, min_insert_block_size_bytes = 30000000

INSERT INTO commits
SELECT {store:UInt32}, commit, min(stored) OVER (
    ORDER BY commit DESC ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW )
FROM (
    SELECT commit, toUnixTimestamp64Micro(min(stored_at)) AS stored
    FROM file({file:String}, 'Native', 'namespace LowCardinality(String), organization String, type LowCardinality(String), time DateTime64(6, ''UTC''), source String, id String, identity UInt64, commit UInt64, position UInt32, stored_at DateTime64(6, ''UTC''), data String, numbers Map(LowCardinality(String), Decimal(76, 28))', 'zstd')
    GROUP BY commit )
SETTINGS max_bytes_before_external_group_by = 200000000, max_bytes_before_external_sort = 200000000
